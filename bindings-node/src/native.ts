import { findAddon } from './addon.js';
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
  /** At most so many messages. */
  take(room: number): string;
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
  completeness(): string;
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
  snapshotPieces(most: number): string[];
  mergePiece(piece: string): boolean;
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
  flush(isCheckpoint: boolean, call: number, wake: () => void): void;
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
  NativeDocument: new (replica: string, initial: string, options: string) => NativeDocument;
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
  /** `own`: the command that runs this command line again; empty if there is none. */
  runCli(args: string[], own: string[]): number;
  version(): string;
}

let loaded: Native | undefined;
let folder: string | undefined;

/**
 * @internal The addon, which is loaded once. Errors: `io` when there is none, or the host refuses it;
 * `abi_mismatch` for one of another version.
 */
export function native(): Native {
  return (loaded ??= load());
}

/** @internal The folder that the addon was loaded from, once it is, if that is known. */
export function addonFolder(): string | undefined {
  return folder;
}

function load(): Native {
  const found = findAddon();
  const addon = checked(found.addon as Native, found.place);
  folder = found.folder;
  return addon;
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
