// What the cases for Node.js share.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const source = process.env.DISTFLOW_SOURCE ?? join(here, '../../..');
export const folder = process.env.HOSTS_FOLDER;
const cache = process.env.HOSTS_CACHE;
if (!folder || !cache) throw new Error('run this with tests/hosts/run');

const npm = (args, cwd) =>
  execFileSync('npm', args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, npm_config_loglevel: 'error', npm_config_update_notifier: 'false' },
  });

/** The addon's file name on this machine. */
export const addon = readdirSync(join(source, 'bindings-node')).find((name) => name.endsWith('.node'));
if (!addon) throw new Error('the package is not built: make node');

/** An npm package of a version, in a folder that stays: the path of that package. */
export function tool(name, version) {
  const home = join(cache, `npm-${name.replaceAll('/', '-')}-${version}`);
  const inside = join(home, 'node_modules', name);
  if (!existsSync(join(home, 'ready'))) {
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'package.json'), '{"private":true}');
    npm(['install', '--no-audit', '--no-fund', `${name}@${version}`], home);
    writeFileSync(join(home, 'ready'), '');
  }
  return inside;
}

/** A program of an npm package. */
export function program(name, version, file = name) {
  return join(tool(name, version), '..', '.bin', file);
}

/** Says which version of a host was tried. */
export function version(name, text) {
  console.log(`version: ${name} ${text}`);
}

/** The version in the manifest of an npm package. */
export function versionOf(path) {
  return JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')).version;
}

/** A folder with the packed package and others installed, and the files of `app/` copied. */
export function project(name, packages = []) {
  const home = join(folder, name);
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name, version: '1.0.0', private: true }));
  const [packed] = JSON.parse(
    npm(['pack', '--ignore-scripts', '--json', '--pack-destination', home], join(source, 'bindings-node')),
  );
  npm(['install', '--no-audit', '--no-fund', join(home, packed.filename), ...packages], home);
  for (const file of readdirSync(join(here, 'app'))) copyFileSync(join(here, 'app', file), join(home, file));
  return home;
}

/** A free port that nobody is given by chance: below those of outgoing connections. */
export async function freePort() {
  for (;;) {
    const server = createServer().listen(randomInt(20_000, 32_000), 'localhost');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Runs a program to its end: its exit code and output. */
export async function run(file, args, { cwd = folder, env = {} } = {}) {
  const child = spawn(file, args, {
    cwd,
    env: { ...process.env, PMD_PORT: String(await freePort()), NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const [code, signal] = await once(child, 'close');
  return { code, signal, stdout, stderr };
}

/** Runs a program that has to work; its output. */
export async function works(file, args, options) {
  const { code, signal, stdout, stderr } = await run(file, args, options);
  const what = `${file} ${args.join(' ')}\n${stdout}${stderr}`;
  assert.deepEqual([code, signal], [0, null], what);
  return stdout;
}

/** Runs the program of `app/`, built or not: it has to say that everything works. */
export async function appWorks(file, args, options) {
  const output = await works(file, args, options);
  assert.match(output, /^app works /m, output);
}

/** Runs a program that has to fail, and to say why. */
export async function fails(pattern, file, args, options) {
  const { code, stdout, stderr } = await run(file, args, options);
  assert.notEqual(code, 0, `${file} ${args.join(' ')} should fail\n${stdout}${stderr}`);
  assert.match(stdout + stderr, pattern);
}
