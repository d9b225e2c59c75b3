import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { DistflowError } from './error.js';

/**
 * @internal Sends JSON text, or no payload at all, to a target; to the last one if none is named.
 * 0: it is in the queue of an established connection. 1: the result comes to the call.
 */
export type NativeSend = (
  payload: string | undefined,
  call: number,
  held: boolean,
  target?: string,
) => number;

/** @internal */
export interface NativeNode {
  receive(wanted: boolean, attended: boolean): void;
  take(): string;
  sender(): NativeSend;
  flush(): void;
  discover(prefix: string | undefined, call: number): void;
  peers(): string;
  stats(): string;
  isRegistered(): boolean;
  shutdown(call: number): void;
  release(): void;
}

/** @internal */
export interface NativePmd {
  isRunning(): boolean;
  nodes(call: number): void;
  stop(call: number): void;
  take(): string;
}

/** @internal */
export interface NativeSession {
  view(): string;
  take(): string;
  start(countdownS: number, call: number): void;
  close(call: number): void;
  handOver(to: string | undefined, call: number): void;
  reserve(player: string, call: number): void;
  release(player: string, call: number): void;
  register(player: string, call: number): void;
  publish(name: string, payload: Uint8Array, call: number): void;
  leave(call: number): void;
  abandon(): void;
}

/** @internal */
export interface NativeSessionList {
  sessions(own?: string): string;
  take(): string;
  isConnected(): boolean;
  close(): void;
}

/** @internal */
export interface NativeDocument {
  /** Of keys: `(value, ...keys)`, otherwise `(value, path)`; without a value, the function deletes. */
  writer(
    isOfKeys: boolean,
    numbers: Float64Array,
  ): (value: string | number | undefined, ...path: string[]) => string;
  receiver(): (op: string) => number;
  get(path: string): string | null;
  json(): string;
  canonical(): string;
  hash(): string;
  clock(): string;
  source(): string;
  since(clock: string): string;
  covers(clock: string): boolean;
  encodeSince(clock: string): Uint8Array;
  receiveBatch(bytes: Uint8Array): number[];
  encodeSnapshot(): Uint8Array;
  snapshot(): string;
  restore(snapshot: Uint8Array, isMerge: boolean): void;
  listen(isListening: boolean): void;
  events(): string;
  watch(pattern: string): number;
  unwatch(id: number): void;
  setMembers(members: string[] | undefined): void;
  metrics(): string;
  metricsText(): string;
  inspect(options: string): string;
  causalGraph(): string;
  replay(from: number, to: number): string;
  trimLog(keep: number | undefined): void;
  dropTombstones(): void;
  expirePending(): void;
  drainPending(): void;
  flush(isCheckpoint: boolean, call: number): void;
  take(): string;
  close(): void;
}

/** @internal */
export interface NativeLog {
  take(): string;
  close(): void;
}

/** @internal The addon. Text in and out is JSON; see the Rust sources beside this package. */
export interface Native {
  NativeNode: new (options: string, call: number, wake: () => void) => NativeNode;
  NativePmd: new (options: string, call: number, wake: () => void) => NativePmd;
  checkBroker(options: string): void;
  NativeDocument: new (
    replica: string,
    initial: string,
    options: string,
    wake: () => void,
  ) => NativeDocument;
  NativeSession: new (
    how: string,
    broker: string,
    id: string | undefined,
    instance: string | undefined,
    options: string,
    call: number,
    wake: () => void,
  ) => NativeSession;
  NativeSessionList: new (broker: string, call: number, wake: () => void) => NativeSessionList;
  NativeLog: new (level: number, wake: () => void) => NativeLog;
  documentDifference(before: string, after: string): string;
  errorCodes(): string;
  runCli(args: string[]): number;
  version(): string;
}

/** @internal The folder of this package. */
export const packageFolder = join(__dirname, '..');

/** @internal Platforms in the names of files and packages, the likeliest first. */
export function platforms(): string[] {
  const name = `${process.platform}-${process.arch}`;
  return process.platform === 'linux' ? [`${name}-gnu`, `${name}-musl`] : [name];
}

let loaded: Native | undefined;

/**
 * @internal Loads the addon: the file in this package, else the one of the package for this
 * platform. Says what was tried when there is none.
 */
export function native(): Native {
  return (loaded ??= load());
}

function load(): Native {
  const tried: string[] = [];
  for (const platform of platforms()) {
    const file = join(packageFolder, `distflow.${platform}.node`);
    for (const place of [file, `@distflow/native-${platform}`]) {
      if (place === file && !existsSync(file)) {
        tried.push(`  ${file}: no such file`);
        continue;
      }
      try {
        return checked(require(place) as Native, place);
      } catch (error) {
        if (error instanceof DistflowError) throw error;
        const text = error instanceof Error ? error.message.split('\n')[0] : String(error);
        tried.push(`  ${place}: ${text}`);
      }
    }
  }
  throw new DistflowError(
    'io',
    `@distflow/native has no addon for ${process.platform}-${process.arch}. Tried:\n` +
      `${tried.join('\n')}\n` +
      'Install it again with optional dependencies, or run `npm run build` in a source checkout.',
  );
}

function checked(addon: Native, place: string): Native {
  const { version } = require('../package.json') as { version: string };
  const found = addon.version();
  if (found !== version) {
    throw new DistflowError(
      'abi_mismatch',
      `the addon ${place} is of version ${found}, but the package is ${version}`,
    );
  }
  return addon;
}

/** @internal The small `distflow` executable, if this package or the platform's carries it. */
export function executable(): string | undefined {
  const own = join(packageFolder, 'bin', 'distflow');
  if (existsSync(own)) return own;
  for (const platform of platforms()) {
    try {
      const manifest = require.resolve(`@distflow/native-${platform}/package.json`);
      const file = join(manifest, '..', 'bin', 'distflow');
      if (existsSync(file)) return file;
    } catch {
      // Not installed.
    }
  }
  return undefined;
}

/** @internal The command that launches a PMD: the executable, else this Node with the script. */
export function launcher(): string[] {
  const file = executable();
  return file ? [file] : [process.execPath, join(packageFolder, 'bin', 'distflow.js')];
}
