// Prepares a release: puts the built addon and program into the package of this platform, and names
// the platform packages in package.json. They are not named before, so that nobody is sent to names
// that are not published yet.
'use strict';

const { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } =
  require('node:fs');
const { join } = require('node:path');

const folder = join(__dirname, '..');
const manifestFile = join(folder, 'package.json');
const manifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
manifest.optionalDependencies = {};

for (const platform of readdirSync(join(folder, 'npm'))) {
  const target = join(folder, 'npm', platform);
  const { name, main, version } = JSON.parse(readFileSync(join(target, 'package.json'), 'utf8'));
  if (version !== manifest.version) throw new Error(`${name} is of version ${version}`);
  manifest.optionalDependencies[name] = version;
  if (!existsSync(join(folder, main))) continue;
  copyFileSync(join(folder, main), join(target, main));
  mkdirSync(join(target, 'bin'), { recursive: true });
  copyFileSync(join(folder, 'bin', 'distflow'), join(target, 'bin', 'distflow'));
  chmodSync(join(target, 'bin', 'distflow'), 0o755);
  console.log(`${name} is ready in npm/${platform}`);
}
writeFileSync(manifestFile, `${JSON.stringify(manifest, null, 2)}\n`);
