// Runs when the package is installed. Where an addon is there, nothing is to be done; in a source
// checkout without one, it is built.
'use strict';

const { spawnSync } = require('node:child_process');
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const folder = join(__dirname, '..');
const isCheckout = existsSync(join(folder, 'rust', 'lib.rs')) && existsSync(join(folder, '..', 'core'));

function problem() {
  try {
    require('../dist/native.js').native();
    return undefined;
  } catch (error) {
    return error;
  }
}

const found = problem();
if (found && isCheckout) {
  console.log('@distflow/native: no addon yet, building it');
  const npm = process.env.npm_execpath;
  const [program, args] = npm ? [process.execPath, [npm]] : ['npm', []];
  const { status } = spawnSync(program, [...args, 'run', 'build'], { cwd: folder, stdio: 'inherit' });
  process.exitCode = status ?? 1;
} else if (found) {
  // Told again, and thrown, when the package is used.
  console.error(`@distflow/native: ${found.message}`);
}
