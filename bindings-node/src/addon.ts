import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import { DistflowError } from './error.js';

/** The environment variable with the path of the addon; what it says is all that is tried. */
const VARIABLE = 'DISTFLOW_ADDON';
const PAGE = 'docs/hosts.md';

/** @internal The folder of this file, or of the bundle that it is in. */
export const here = place();

/** @internal The folder of this package. In a bundle, there is no such folder. */
export const packageFolder = join(here, '..');

/** Whether this file is where the package has it, and not in a bundle. */
const isBundled = basename(here) !== 'dist' || !existsSync(join(here, 'addon.js'));

function place(): string {
  if (typeof __dirname === 'string') return __dirname;
  // A bundle in ESM; see place.mts.
  const holder = globalThis as { [place: symbol]: string | undefined };
  const url = holder[Symbol.for('@distflow/native:place')];
  return url?.startsWith('file:') ? dirname(fileURLToPath(url)) : dirname(process.execPath);
}

/** @internal Platforms in the names of files and packages, the likeliest first. */
export function platforms(): string[] {
  const name = `${process.platform}-${process.arch}`;
  return process.platform === 'linux' ? [`${name}-gnu`, `${name}-musl`] : [name];
}

/**
 * @internal A path outside of the archive of an Electron program: what is to be loaded or run must be
 * a file, and is unpacked beside it.
 */
export function unpacked(path: string): string {
  return path.replace(`app.asar${sep}`, `app.asar.unpacked${sep}`);
}

/** @internal Where the small program may be, the likeliest first; `addon` is the addon's folder. */
export function programPlaces(addon: string | undefined): string[] {
  const name = process.platform === 'win32' ? 'distflow.exe' : 'distflow';
  const places = [join(packageFolder, 'bin', name)];
  for (const platform of platforms()) {
    try {
      const from = createRequire(join(here, 'x.js'));
      places.push(join(dirname(from.resolve(`@distflow/native-${platform}/package.json`)), 'bin', name));
    } catch {
      // Not installed.
    }
  }
  // Beside the addon, a bundle, or a program that is one file.
  const beside = [addon, isBundled ? here : undefined, dirname(process.execPath)];
  for (const folder of new Set(beside)) {
    if (folder) places.push(join(folder, 'bin', name), join(folder, name));
  }
  // What is in the archive of an Electron program is no file that could be run.
  return places.map(unpacked).filter((place) => place !== process.execPath && existsSync(place));
}

/** @internal An addon, and the folder that it is in, if that is known. */
export interface Found {
  addon: unknown;
  place: string;
  folder: string | undefined;
}

interface Try {
  place: string;
  folder: string | undefined;
  load(): unknown;
}

function ofFile(file: string): Try {
  const load = () => {
    if (!existsSync(file)) throw new Error('no such file');
    return createRequire(file)(file);
  };
  return { place: file, folder: dirname(file), load };
}

/**
 * Loads an addon of this package by a path that bundlers follow: they take the files that are there
 * along if they are told how to treat them, and show this line if they are not.
 */
function follow(platform: string): unknown {
  return require(`../distflow.${platform}.node`); // mark @distflow/native as external, or give .node a loader
}

/** Ways to an addon, the likeliest first. */
function* ways(): Generator<Try> {
  for (const platform of platforms()) {
    const name = `distflow.${platform}.node`;
    const own = join(packageFolder, name);
    const free = unpacked(own);
    if (free !== own && existsSync(free)) yield ofFile(free);
    if (isBundled || existsSync(own)) {
      yield { place: own, folder: isBundled ? here : packageFolder, load: () => follow(platform) };
    } else {
      yield ofFile(own);
    }
    const packed = `@distflow/native-${platform}`;
    yield { place: packed, folder: undefined, load: () => createRequire(join(here, 'x.js'))(packed) };
    if (isBundled) yield ofFile(join(here, name));
    // Beside a program that is one file.
    yield ofFile(join(dirname(process.execPath), name));
  }
}

/**
 * @internal Finds and loads the addon. Error: `io`, which says what was tried, and what to do. The
 * `cause` is what the host said, if it refused.
 */
export function findAddon(): Found {
  const given = variable();
  const failures: [place: string, error: unknown][] = [];
  for (const { place, folder, load } of given ? [ofFile(given)] : ways()) {
    try {
      return { addon: load(), place, folder };
    } catch (error) {
      failures.push([place, error]);
      if (advice(error)) break;
    }
  }
  const [, error] = failures.find(([, error]) => !isMissing(error)) ?? failures.at(-1) ?? [];
  const tried = failures.map(([place, error]) => `  ${place}: ${text(error)}`).join('\n');
  const what = given ? `the addon that ${VARIABLE} names does not load` : whatFailed();
  throw new DistflowError('io', `${what}. Tried:\n${tried}\n${advice(error) ?? general(given)}`, {
    cause: error,
    causes: failures.map(([place, error]) => `${place}: ${text(error)}`),
  });
}

function whatFailed(): string {
  return `@distflow/native has no addon for ${process.platform}-${process.arch} that loads here`;
}

function variable(): string | undefined {
  try {
    return process.env[VARIABLE] || undefined;
  } catch {
    // A host that keeps the environment from programs.
    return undefined;
  }
}

function codeOf(error: unknown): string | undefined {
  const { code, name } = error as { code?: unknown; name?: string };
  return typeof code === 'string' ? code : name;
}

function text(error: unknown): string {
  const { message } = error as Partial<Error>;
  const line = (message ?? String(error)).split('\n')[0] ?? '';
  const code = codeOf(error);
  return !code || code === 'Error' || line.includes(code) ? line : `${line} (${code})`;
}

function isMissing(error: unknown): boolean {
  return /^(MODULE_NOT_FOUND|ERR_MODULE_NOT_FOUND|Error)$/.test(codeOf(error) ?? '');
}

/** What to do when the host refuses, whatever is installed. */
function advice(error: unknown): string | undefined {
  const code = codeOf(error);
  const { permission, message } = (error ?? {}) as { permission?: string; message?: string };
  if (code === 'ERR_DLOPEN_DISABLED') {
    const flag = process.execArgv.includes('--no-addons') || /no-addons/.test(process.env['NODE_OPTIONS'] ?? '')
      ? 'it was started with --no-addons: leave that out'
      : 'with --permission, start it with --allow-addons, too';
    return `Node.js refuses addons (${code}); ${flag}.`;
  }
  if (code === 'ERR_ACCESS_DENIED') {
    const flag = permission === 'FileSystemRead' ? `--allow-fs-read=${packageFolder}` : '--allow-addons';
    return `Node.js refuses access (${code}${permission ? `, ${permission}` : ''}); start it with ${flag}, too.`;
  }
  if (code === 'NotCapable' || code === 'PermissionDenied') {
    const flag = /--allow-[a-z]+/.exec(message ?? '')?.[0] ?? '--allow-ffi';
    return `Deno refuses it (${code}); start it with ${flag}, too. An addon needs --allow-ffi, --allow-read, --allow-env and --allow-sys.`;
  }
  return undefined;
}

function general(given: string | undefined): string {
  const [name] = platforms();
  if (given) return `${VARIABLE} must be the path of distflow.${name}.node, of this version.`;
  if (!isBundled) {
    return 'Install it again with optional dependencies, or run `npm run build` in a source checkout.';
  }
  return (
    'The package is in a bundle, and its addon is not: mark @distflow/native as external and install it ' +
    `beside the program, or put distflow.${name}.node into ${here}, or set ${VARIABLE} to its path (${PAGE}).`
  );
}
