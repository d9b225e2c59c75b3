import type { NodeRuntime } from './node-runtime.js';

/** @internal A start of the node of this process, while it is under way. */
export interface Starting {
  promise: Promise<NodeRuntime>;
  /** How many wait for it. */
  waiters: number;
  giveUp(): void;
}

/** @internal The node of this process that `NodeRuntime.start` gives to everyone. */
export interface ProcessWide {
  node: NodeRuntime | undefined;
  starting: Starting | undefined;
  /** The end of an earlier one, to be waited for before the next. */
  ending: Promise<unknown> | undefined;
}

// One a process (or worker thread), also when the package is loaded more than once.
const KEY = Symbol.for('@distflow/native:runtime');

/** @internal */
export function processWide(): ProcessWide {
  const holder = globalThis as { [KEY]?: ProcessWide };
  return (holder[KEY] ??= { node: undefined, starting: undefined, ending: undefined });
}

interface Live {
  shutdown(): Promise<void>;
  abandon(): void;
}

const live = new Set<Live>();

// Whoever leaves a node running until nothing else is to be done gets a proper end of it: what was
// sent is flushed, and peers hear of it.
function beforeExit(): void {
  for (const node of live) void node.shutdown();
}

function exit(): void {
  for (const node of live) node.abandon();
}

/** @internal Has a node ended when the process ends. */
export function addLive(node: Live): void {
  if (live.size === 0) process.on('beforeExit', beforeExit).on('exit', exit);
  live.add(node);
}

/** @internal */
export function removeLive(node: Live): void {
  live.delete(node);
  if (live.size === 0) process.off('beforeExit', beforeExit).off('exit', exit);
}
