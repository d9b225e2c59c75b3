import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

import { packageFolder, programPlaces } from './addon.js';
import { addonFolder } from './native.js';

/** @internal The small `distflow` executable, if it is there and may be executed. */
export function executable(): string | undefined {
  return programPlaces(addonFolder()).find(canRun);
}

/**
 * @internal The command that launches a PMD: the executable, else this Node with the script.
 * Nothing when there is no executable and this process can't be told to run a script: a packaged
 * program launched in its place would start itself again, and its copy would do the same.
 */
export function launcher(): string[] | undefined {
  const file = executable();
  if (file) return [file];
  const script = join(packageFolder, 'bin', 'distflow.js');
  return runsScripts() && existsSync(script) ? [process.execPath, script] : undefined;
}

/** Copying by hand, or unpacking, can lose the permission to execute. */
function canRun(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Whether `process.execPath` is an interpreter, which runs the script it is given. */
function runsScripts(): boolean {
  // Electron starts the application; packers put one into the executable.
  const { pkg, __nexe } = process as { pkg?: unknown; __nexe?: unknown };
  if (process.versions.electron || pkg || __nexe || isSingleExecutable()) return false;
  return /^(node|nodejs|bun|deno)([-_.]?v?\d[\d.]*)?(\.exe)?$/i.test(basename(process.execPath));
}

function isSingleExecutable(): boolean {
  try {
    return (require('node:sea') as { isSea(): boolean }).isSea();
  } catch {
    // This runtime makes none.
    return false;
  }
}
