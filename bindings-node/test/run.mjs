// Packs the package, installs the tarball in an empty folder, and runs the tests against that.
// Arguments are the test files to run; default all.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const tests = dirname(fileURLToPath(import.meta.url));
const source = join(tests, '..');
const folder = mkdtempSync(join(tmpdir(), 'distflow-npm-'));

// A folder whose only programs are those that an installation may use: no cargo, no compiler.
const path = [dirname(process.execPath), '/usr/bin', '/bin'].join(':');
const npm = (args, cwd, env = {}) =>
  execFileSync('npm', args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, npm_config_loglevel: 'error', ...env },
  });

let status = 1;
try {
  const [packed] = JSON.parse(
    npm(['pack', '--ignore-scripts', '--json', '--pack-destination', folder], source),
  );
  const content = packed.files.map(({ path, mode }) => ({ path, mode }));
  writeFileSync(join(folder, 'packed.json'), JSON.stringify(content));
  writeFileSync(join(folder, 'package.json'), '{"name":"empty","version":"1.0.0","private":true}');
  npm(['install', '--offline', '--no-audit', '--no-fund', join(folder, packed.filename)], folder, {
    CARGO: '/nonexistent/cargo',
    PATH: path,
  });
  const chosen = process.argv.slice(2);
  const files = chosen.length > 0
    ? chosen
    : readdirSync(tests)
        .filter((name) => name.endsWith('.test.mjs'))
        .map((name) => join(tests, name));
  const run = spawnSync(
    process.execPath,
    ['--test', '--test-concurrency=2', '--test-timeout=240000', ...files],
    { stdio: 'inherit', env: { ...process.env, DISTFLOW_INSTALLED: folder } },
  );
  status = run.status ?? 1;
} catch (error) {
  console.error(error.stderr ?? error);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(status);
