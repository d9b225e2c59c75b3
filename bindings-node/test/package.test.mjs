// The tarball, its installation, and the command line in it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { command, distflow, freePort, installed, require } from './helpers.mjs';

const source = join(dirname(fileURLToPath(import.meta.url)), '..');
const packed = JSON.parse(readFileSync(join(installed, 'packed.json'), 'utf8'));
const folder = join(installed, 'node_modules/@distflow/native');
const cli = join(installed, 'node_modules/.bin/distflow');

/** A copy of the installed package that a test may damage. */
function copy(t) {
  const target = mkdtempSync(join(tmpdir(), 'distflow-copy-'));
  t.after(() => rmSync(target, { recursive: true, force: true }));
  cpSync(folder, target, { recursive: true });
  return target;
}

test('the tarball holds the addon, the program, and no sources or sockets to the build', () => {
  const names = packed.map(({ path }) => path);
  for (const name of ['package.json', 'bin/distflow', 'bin/distflow.js', 'dist/index.js', 'dist/index.mjs', 'dist/index.d.ts', 'dist/index.d.mts', 'scripts/install.js']) {
    assert.ok(names.includes(name), name);
  }
  assert.ok(names.some((name) => /^distflow\..*\.node$/.test(name)));
  assert.deepEqual(names.filter((name) => /^(rust|src|test|npm)\/|\.rs$/.test(name)), []);
  assert.ok(statSync(join(folder, 'bin/distflow')).mode & 0o100);
  assert.equal(require('@distflow/native/package.json').version, distflow.version());
});

test('the lock file names no download addresses', () => {
  assert.doesNotMatch(readFileSync(join(source, 'package-lock.json'), 'utf8'), /"resolved"|https?:\/\//);
});

test('the codes of the addon are those of the types', () => {
  const codes = JSON.parse(require(join(folder, 'dist/native.js')).native().errorCodes());
  const types = readFileSync(join(folder, 'dist/error.d.ts'), 'utf8').match(/ErrorCode = ([^;]*);/)[1];
  const typed = [...types.matchAll(/'([a-z_]+)'/g)].map(([, code]) => code);
  assert.deepEqual(typed, [...codes, 'aborted']);
});

test('the declarations fit a program that uses every member, as CommonJS and as ESM', (t) => {
  const program = readFileSync(join(source, 'test/types/every-member.ts'), 'utf8');
  for (const name of ['every-member.cts', 'every-member.mts']) writeFileSync(join(installed, name), program);
  const options = {
    compilerOptions: {
      target: 'es2022', module: 'node16', moduleResolution: 'node16', noEmit: true, strict: true,
      noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, skipLibCheck: false,
      lib: ['es2022', 'esnext.disposable'],
      types: ['node'], typeRoots: [join(source, 'node_modules/@types')],
    },
    files: ['every-member.cts', 'every-member.mts'],
  };
  writeFileSync(join(installed, 'tsconfig.json'), JSON.stringify(options));
  const tsc = join(source, 'node_modules/typescript/bin/tsc');
  try {
    execFileSync(process.execPath, [tsc, '-p', installed], { encoding: 'utf8' });
  } catch (error) {
    assert.fail(error.stdout);
  }
});

test('the declarations are found without the exports of the manifest, too', (t) => {
  // As TypeScript did before it knew them: `moduleResolution: node10`.
  const entries = Object.keys(require('@distflow/native/package.json').exports)
    .filter((name) => /^\.(\/[a-z-]+)?$/.test(name))
    .map((name) => name.replace('.', '@distflow/native'));
  assert.ok(entries.length >= 7);
  const folder = mkdtempSync(join(installed, 'node10-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'all.ts'), entries.map((name, at) => `import * as all${at} from '${name}';\nvoid all${at};\n`).join(''));
  const options = {
    compilerOptions: {
      target: 'es2022', module: 'commonjs', moduleResolution: 'node10', noEmit: true, strict: true, skipLibCheck: false,
      lib: ['es2022', 'esnext.disposable'], types: ['node'], typeRoots: [join(source, 'node_modules/@types')],
    },
    files: ['all.ts'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options));
  const tsc = join(source, 'node_modules/typescript/bin/tsc');
  try {
    execFileSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
  } catch (error) {
    assert.fail(error.stdout);
  }
});

test('npx distflow is the command line, with its exit codes', async (t) => {
  const help = await command(t, cli, ['--help']).ended;
  assert.equal(help.code, 0);
  assert.match(help.stdout, /pmd/);
  const version = await command(t, cli, ['--version']).ended;
  assert.match(version.stdout, new RegExp(`\\b${distflow.version().replaceAll('.', '\\.')}\\b`));
  assert.equal((await command(t, cli, ['pmd', 'status', '--port', '1']).ended).code, 1);
});

test('signals reach the command', async (t) => {
  const daemon = command(t, cli, ['pmd', 'start', '--port', '0']);
  await daemon.line(/^PMD started on port/);
  daemon.child.kill('SIGINT');
  const { code, stdout } = await daemon.ended;
  assert.equal(code, 0);
  assert.match(stdout, /PMD stopped\n$/);
});

test('without the executable, the command line runs inside Node, also as a launched PMD', async (t) => {
  const target = copy(t);
  rmSync(join(target, 'bin/distflow'));
  const script = join(target, 'bin/distflow.js');
  const env = { PATH: dirname(process.execPath), DISTFLOW_PMD: undefined };
  const run = (...args) => command(t, process.execPath, [script, ...args], env).ended;
  assert.equal((await run('--help')).code, 0);
  assert.equal((await run('pmd', 'status', '--port', '1')).code, 1);
  const port = await freePort();
  const { code, stdout, stderr } = await command(t, process.execPath, ['-e', `
    const { NodeRuntime } = require(${JSON.stringify(target)});
    NodeRuntime.start({ alias: 'a', pmdPort: ${port}, pmdAutoShutdownMs: 3_000, startTimeoutMs: 30_000 }).then(async (node) => {
      console.log(node.isRegistered());
      await node.shutdown();
    });
  `], env).ended;
  assert.deepEqual([code, stdout, stderr], [0, 'true\n', '']);
  const killed = await run('pmd', 'kill', '--port', String(port));
  // It may have ended by itself already.
  assert.ok(killed.code === 0 || killed.code === 1);
});

test('without an addon, the error names what was tried', async (t) => {
  const target = copy(t);
  for (const { path } of packed) if (path.endsWith('.node')) rmSync(join(target, path));
  const { code, stdout } = await command(t, process.execPath, ['-e', `
    const { NodeRuntime, Mailbox } = require(${JSON.stringify(target)});
    new Mailbox();
    NodeRuntime.create().catch((error) => console.log(error.code, error.message));
  `]).ended;
  assert.equal(code, 0);
  assert.match(stdout, /^io @distflow\/native has no addon for/);
  assert.match(stdout, /distflow\.\S+\.node: no such file/);
  assert.match(stdout, /@distflow\/native-\S+: Cannot find module/);
  const install = await command(t, process.execPath, [join(target, 'scripts/install.js')]).ended;
  assert.equal(install.code, 0);
  assert.match(install.stderr, /has no addon/);
});

test('the environment variable names the addon, and is the last word', async (t) => {
  const target = copy(t);
  const addon = packed.find(({ path }) => path.endsWith('.node')).path;
  const elsewhere = join(target, 'elsewhere.node');
  cpSync(join(target, addon), elsewhere);
  rmSync(join(target, addon));
  const run = (variable) =>
    command(t, process.execPath, ['-e', `
      try { console.log(require(${JSON.stringify(target)}).version()); }
      catch (error) { console.log(error.code, error.message, error.cause instanceof Error); }
    `], { DISTFLOW_ADDON: variable }).ended;
  assert.equal((await run(elsewhere)).stdout, `${distflow.version()}\n`);
  cpSync(elsewhere, join(target, addon));
  const { stdout } = await run('/nowhere/a.node');
  assert.match(stdout, /^io the addon that DISTFLOW_ADDON names does not load\. Tried:\n  \/nowhere\/a\.node: no such file\n.* true\n$/s);
});

test('in the archive of an Electron program, what was unpacked beside it is taken', async (t) => {
  // Node.js reads no such archives; a folder of that name stands for one here.
  const home = mkdtempSync(join(tmpdir(), 'distflow-asar-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const inside = 'node_modules/@distflow/native';
  const packedIn = join(home, 'app.asar', inside);
  const unpacked = join(home, 'app.asar.unpacked', inside);
  cpSync(folder, packedIn, { recursive: true });
  const addon = packed.find(({ path }) => path.endsWith('.node')).path;
  for (const file of [addon, 'bin/distflow']) {
    cpSync(join(packedIn, file), join(unpacked, file));
    // It reads as a file, and is none for the system.
    writeFileSync(join(packedIn, file), 'in the archive');
  }
  const port = await freePort();
  const { code, stdout, stderr } = await command(t, process.execPath, ['-e', `
    const { NodeRuntime } = require(${JSON.stringify(packedIn)});
    NodeRuntime.create({ pmdPort: ${port}, pmdAutoShutdownMs: 1_000, startTimeoutMs: 60_000 }).then(async (node) => {
      console.log(node.isRegistered());
      await node.shutdown();
    });
  `], { PATH: '/nonexistent' }).ended;
  assert.deepEqual([code, stdout, stderr], [0, 'true\n', '']);
});

test('when the host refuses addons, the error says so, with its code and flag', async (t) => {
  const { stdout } = await command(t, process.execPath, ['--no-addons', '-e', `
    require('@distflow/native').NodeRuntime.create().catch((error) => console.log(error.code, error.cause.code, error.message));
  `]).ended;
  assert.match(stdout, /^io ERR_DLOPEN_DISABLED .*Node\.js refuses addons \(ERR_DLOPEN_DISABLED\); it was started with --no-addons: leave that out\.\n$/s);
  assert.doesNotMatch(stdout, /Install/);
});

test('an addon of another version is refused', async (t) => {
  const target = copy(t);
  const manifest = join(target, 'package.json');
  writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/"version": "[^"]+"/, '"version": "9.9.9"'));
  const { stdout } = await command(t, process.execPath, ['-e', `
    require(${JSON.stringify(target)}).NodeRuntime.create().catch((error) => console.log(error.code));
  `]).ended;
  assert.equal(stdout, 'abi_mismatch\n');
});

test('an addon of a platform package is found', async (t) => {
  const target = copy(t);
  const addon = packed.find(({ path }) => path.endsWith('.node')).path;
  const platform = addon.replace(/^distflow\.|\.node$/g, '');
  const home = join(target, 'node_modules/@distflow', `native-${platform}`);
  cpSync(join(source, 'npm', platform), home, { recursive: true });
  cpSync(join(target, addon), join(home, addon));
  cpSync(join(target, 'bin/distflow'), join(home, 'bin/distflow'));
  rmSync(join(target, addon));
  rmSync(join(target, 'bin/distflow'));
  const { stdout, stderr } = await command(t, process.execPath, ['-e', `
    console.log(require(${JSON.stringify(target)}).version());
    console.log(require(${JSON.stringify(join(target, 'dist/launcher.js'))}).launcher()[0]);
  `]).ended;
  assert.equal(stdout, `${distflow.version()}\n${join(home, 'bin/distflow')}\n`, stderr);
  assert.ok(existsSync(join(home, 'package.json')));
});

test('without permission to execute, the next way is taken', async (t) => {
  const target = copy(t);
  chmodSync(join(target, 'bin/distflow'), 0o644);
  const script = join(target, 'bin/distflow.js');
  const { code, stdout, stderr } = await command(t, process.execPath, [script, '--version']).ended;
  assert.deepEqual([code, stdout, stderr], [0, `distflow ${distflow.version()}\n`, '']);
  const launched = await command(t, process.execPath, ['-e', `
    console.log(JSON.stringify(require(${JSON.stringify(join(target, 'dist/launcher.js'))}).launcher()));
  `]).ended;
  assert.deepEqual(JSON.parse(launched.stdout), [process.execPath, script]);
});

// Each makes Node.js look like a program that runs an application of its own, whatever it is told.
for (const [name, disguise] of [
  ['Electron', "Object.defineProperty(process.versions, 'electron', { value: '38.0.0' })"],
  ['a packer', 'process.pkg = {}'],
  ['another program', "process.execPath = '/opt/app/app'"],
  ['a script that is not there', `require('node:fs').rmSync(require('node:path').join(target, 'bin/distflow.js'))`],
]) {
  test(`in a packaged program, nothing unknown is launched: ${name}`, async (t) => {
    const target = copy(t);
    rmSync(join(target, 'bin/distflow'));
    const port = await freePort();
    const env = { PATH: '/nonexistent', DISTFLOW_PMD: undefined };
    const { stdout } = await command(t, process.execPath, ['-e', `
      const target = ${JSON.stringify(target)};
      ${disguise};
      const { NodeRuntime } = require(target);
      NodeRuntime.create({ pmdPort: ${port} }).catch((error) => console.log(error.code, error.message));
    `], env).ended;
    assert.match(stdout, /^pmd_launch_failed .*DISTFLOW_PMD.*embed_pmd/s);
  });
}
