// Builds the addon and the distflow program with plain cargo and copies both into the package.
'use strict';

const { execFileSync } = require('node:child_process');
const { chmodSync, copyFileSync, mkdirSync, renameSync } = require('node:fs');
const { join } = require('node:path');

const folder = join(__dirname, '..');
const workspace = join(folder, '..');
const cargo = process.env.CARGO ?? 'cargo';

function run(args, options) {
  return execFileSync(cargo, args, { cwd: workspace, maxBuffer: 64 << 20, ...options });
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
  ['build', '--release', '--locked', '-p', 'distflow-core', '--features', 'cli', '--bin', 'distflow'],
  { stdio: 'inherit' },
);
const metadata = run(['metadata', '--format-version', '1', '--no-deps', '--locked']);
const release = join(JSON.parse(metadata).target_directory, 'release');
copy(join(release, `${prefix}distflow_node${suffix}`), join(folder, `distflow.${platform()}.node`));
mkdirSync(join(folder, 'bin'), { recursive: true });
copy(join(release, program), join(folder, 'bin', program));
chmodSync(join(folder, 'bin', program), 0o755);
