// Builds the addon and the distflow program with plain cargo and copies both into the package.
// With --remap, as they are packed: without a path of the machine that builds them. Other flags are
// another build, so it has a folder of its own, the one of `make install`.
'use strict';

const { execFileSync } = require('node:child_process');
const { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync } = require('node:fs');
const { homedir } = require('node:os');
const { join } = require('node:path');

const folder = join(__dirname, '..');
const workspace = join(folder, '..');
const cargo = process.env.CARGO ?? 'cargo';
const remaps = process.argv.includes('--remap');
const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
const env = { ...process.env };

function run(args, options) {
  return execFileSync(cargo, args, { cwd: workspace, maxBuffer: 64 << 20, env, ...options });
}

function targetFolder() {
  return JSON.parse(run(['metadata', '--format-version', '1', '--no-deps', '--locked'])).target_directory;
}

if (remaps) {
  const flags = [[cargoHome, '/cargo'], [workspace, '/distflow']];
  env.RUSTFLAGS = [env.RUSTFLAGS ?? '', ...flags.map(([from, to]) => `--remap-path-prefix=${from}=${to}`)].join(' ').trim();
  env.CARGO_TARGET_DIR = join(targetFolder(), 'install');
}

// A file that a process has loaded must be replaced, not written over.
function copy(from, to) {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
}

const [prefix, suffix] = { darwin: ['lib', '.dylib'], win32: ['', '.dll'] }[process.platform] ?? ['lib', '.so'];
const program = process.platform === 'win32' ? 'distflow.exe' : 'distflow';

function platform() {
  const name = `${process.platform}-${process.arch}`;
  if (process.platform !== 'linux') return name;
  return `${name}-${process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'}`;
}

run(['build', '--release', '--locked', '-p', 'distflow-node'], { stdio: 'inherit' });
run(
  ['build', '--release', '--locked', '-p', 'distflow-core', '--features', 'cli,broker', '--bin', 'distflow'],
  { stdio: 'inherit' },
);
const release = join(targetFolder(), 'release');
const built = [
  [join(release, `${prefix}distflow_node${suffix}`), join(folder, `distflow.${platform()}.node`)],
  [join(release, program), join(folder, 'bin', program)],
];
mkdirSync(join(folder, 'bin'), { recursive: true });
for (const [from, to] of built) {
  const found = remaps && [cargoHome, workspace].find((path) => readFileSync(from).includes(path));
  if (found) throw new Error(`${from} holds the path ${found}`);
  copy(from, to);
}
chmodSync(join(folder, 'bin', program), 0o755);
