import { Calls, type Result } from './calls.js';
import { DocumentEmitter, attempt } from './document-emitter.js';
import { DistflowError, fromThrown, invalid } from './error.js';
import type {
  BatchReceived,
  CausalGraphNode,
  CrdtInspection,
  CrdtMetrics,
  CrdtOptions,
  CrdtSnapshot,
  CrdtStats,
  InspectOptions,
  JSONCrdtEvents,
  JsonValue,
  Op,
  Path,
  ReplayOptions,
  SnapshotDiff,
  VectorClock,
  WatchEvent,
} from './json-crdt-types.js';
import { type NativeDocument, native } from './native.js';
import { encodeOp, jsonOf, textOf } from './op-text.js';
import { checkObject } from './options.js';

export type * from './json-crdt-types.js';

const APPLIED = 1;
const KEYS_MAX = 16;
const LOG_MAX = 0xffff_ffff;

/** Calls into the addon; what it throws becomes a `DistflowError`. */
function told<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw error instanceof DistflowError ? error : fromThrown(error);
  }
}

/** A snapshot as bytes or JSON text. */
function snapshotBytes(snapshot: CrdtSnapshot | Uint8Array | string): Uint8Array {
  if (snapshot instanceof Uint8Array) return snapshot;
  if (typeof snapshot === 'string') return Buffer.from(snapshot);
  checkObject(snapshot, 'the snapshot');
  return Buffer.from(jsonOf(snapshot, 'the snapshot'));
}

function count(value: number | undefined, name: string, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isInteger(value) || value < 0) throw invalid(`${name} must be a whole number`);
  return Math.min(value, LOG_MAX);
}

/**
 * A JSON document that is shared by replicas: everybody writes at once, and all that have seen the
 * same operations are the same, in whatever order they came.
 *
 * It sends nothing: operations come out of {@link JSONCrdt.set}, {@link JSONCrdt.del} and
 * {@link JSONCrdt.diffSince}, and go into {@link JSONCrdt.receive}.
 */
export class JSONCrdt extends DocumentEmitter {
  readonly #native: NativeDocument;
  readonly #write: (value: ValueText | undefined, path: string) => string;
  readonly #writeKeys: (value: ValueText | undefined, ...keys: string[]) => string;
  readonly #receive: (op: string) => number;
  readonly #calls = new Calls();
  readonly #watches = new Map<number, (event: WatchEvent) => void>();
  readonly #replica: string;
  /** Time, counter and number of the operation that was written last. */
  readonly #numbers = new Float64Array(3);
  #source = '';
  /** Whether the text of that is itself in quotes. */
  #isPlain = false;
  /** As it was when it was last needed; undefined when it is another since. */
  #clock: VectorClock | undefined;
  #listening = false;

  /**
   * Errors: `invalid_argument`, `invalid_json`; for a directory also `already_running` (it is open
   * elsewhere), `io`, `invalid_message` (its files are damaged).
   */
  constructor(replica: string, initial: JsonValue = {}, options: CrdtOptions = {}) {
    super();
    if (typeof replica !== 'string') throw invalid('replica must be a string');
    checkObject(options);
    const texts = [jsonOf(initial, 'the initial value'), jsonOf(options, 'the options')] as const;
    this.#native = told(
      () => new (native().NativeDocument)(replica, ...texts, () => this.#settle()),
    );
    this.#replica = replica;
    this.#updateSource();
    this.#write = this.#native.writer(false, this.#numbers);
    this.#writeKeys = this.#native.writer(true, this.#numbers);
    this.#receive = this.#native.receiver();
  }

  #updateSource(): void {
    this.#source = this.#native.source();
    this.#isPlain = JSON.stringify(this.#source) === `"${this.#source}"`;
  }

  /** The whole document, as a copy. */
  value(): JsonValue {
    return JSON.parse(told(() => this.#native.json())) as JsonValue;
  }

  /** What is at a path, as a copy; undefined if nothing is. Error: `invalid_argument`. */
  get(path: Path): JsonValue | undefined {
    const text = told(() => this.#native.get(jsonOf(path, 'the path')));
    return text === null ? undefined : (JSON.parse(text) as JsonValue);
  }

  /** The text that is the same on every replica that has seen the same, in every language. */
  canonical(): string {
    return told(() => this.#native.canonical());
  }

  /** The SHA-256 of {@link JSONCrdt.canonical}, in hexadecimal digits. */
  hash(): string {
    return told(() => this.#native.hash());
  }

  /** How many operations of each replica were taken in, as a copy. */
  clock(): VectorClock {
    return { ...this.#currentClock() };
  }

  #currentClock(): VectorClock {
    return (this.#clock ??= JSON.parse(told(() => this.#native.clock())) as VectorClock);
  }

  /** The name of this replica. */
  getReplicaId(): string {
    return this.#replica;
  }

  /**
   * Sets the value at a path. Missing objects on the way are made. The operation is for the other
   * replicas.
   *
   * Errors: `invalid_argument` for a path that leads through something else than it says, and for
   * what is beyond the limits; `too_large`; `io` when it can't be kept. Then nothing has changed.
   */
  set(path: Path, value: JsonValue): Op {
    const json = valueText(value);
    const text = this.#writeText(path, json);
    const copy = typeof value === 'object' ? (JSON.parse(json as string) as JsonValue) : value;
    // What JSON has no word for, it writes as null.
    const plain = typeof copy === 'number' && !Number.isFinite(copy) ? null : copy;
    return this.#op('set', path, text, plain);
  }

  /** Takes away what is at a path; without it, nothing else changes. Errors: as {@link JSONCrdt.set}. */
  del(path: Path): Op {
    return this.#op('tombstone', path, this.#writeText(path));
  }

  /**
   * Like {@link JSONCrdt.set}, and gives only the operation's text, as {@link JSONCrdt.encodeOp} does:
   * quicker for whoever sends it anyway.
   */
  setEncoded(path: Path, value: JsonValue): string {
    const text = this.#writeText(path, valueText(value));
    this.#wrote();
    return text;
  }

  #writeText(path: Path, value?: ValueText): string {
    const where = isOfKeys(path) ? path : pathText(path);
    try {
      return typeof where === 'string' ? this.#write(value, where) : this.#writeKeys(value, ...where);
    } catch (error) {
      throw fromThrown(error);
    }
  }

  #op(kind: Op['kind'], path: Path, text: string, value?: JsonValue): Op {
    const src = this.#source;
    const [t, c, seq] = this.#numbers as unknown as [number, number, number];
    // Behind {"id":", unless the name is written with escapes.
    const id = this.#isPlain ? text.slice(7, text.indexOf('"', 7)) : (JSON.parse(text) as Op).id;
    const clock = this.#currentClock();
    clock[src] = seq;
    const [hlc, deps, copy] = [{ t, c, r: src }, { ...clock }, [...path]];
    const op: Op =
      kind === 'set'
        ? { id, kind, path: copy, value: value as JsonValue, hlc, deps, src }
        : { id, kind, path: copy, hlc, deps, src };
    textOf.remember(op, text);
    this.#wrote();
    return op;
  }

  #wrote(): void {
    if (this.#clock) this.#clock[this.#source] = this.#numbers[2] as number;
    if (this.#listening) this.#tell();
  }

  /**
   * Takes in an operation of another replica, or keeps it until those before it have come: an
   * operation, or its text. True: it was taken in now; false: it is known, or waits.
   *
   * What is no operation is refused with the event `refused` and false, so that it does not stop
   * those after it; so is one that finds no room, which is given again with the next exchange.
   */
  receive(op: Op | string): boolean {
    let received = 0;
    try {
      received = this.#receive(typeof op === 'string' ? op : operationText(op));
    } catch (thrown) {
      const error = thrown instanceof DistflowError ? thrown : fromThrown(thrown);
      if (error.code === 'closed' || error.code === 'io') throw error;
      this.emitAll('refused', { error, op });
    }
    this.#clock = undefined;
    if (this.#listening) this.#tell();
    return received === APPLIED;
  }

  /**
   * Takes in the bytes of {@link JSONCrdt.encodeSince}. Error: `invalid_message` for damaged ones;
   * what came before the damage was taken in.
   */
  receiveBatch(bytes: Uint8Array): BatchReceived {
    if (!(bytes instanceof Uint8Array)) throw invalid('a batch must be a Uint8Array');
    try {
      const counts = told(() => this.#native.receiveBatch(bytes));
      const [applied, duplicates, pending] = counts as [number, number, number];
      return { applied, duplicates, pending };
    } finally {
      this.#changed();
    }
  }

  /**
   * The operations that somebody with this clock lacks, as far as the log has them; see
   * {@link JSONCrdt.isCompleteSince}.
   */
  diffSince(since: VectorClock): Op[] {
    return JSON.parse(told(() => this.#native.since(clockText(since)))) as Op[];
  }

  /** The same in bytes, a fraction of the text, for {@link JSONCrdt.receiveBatch}. */
  encodeSince(since: VectorClock): Uint8Array {
    return told(() => this.#native.encodeSince(clockText(since)));
  }

  /** Whether the log has all that somebody with this clock lacks; otherwise it needs a snapshot. */
  isCompleteSince(since: VectorClock): boolean {
    return told(() => this.#native.covers(clockText(since)));
  }

  /** Tries again what waits. */
  drainPending(): void {
    told(() => this.#native.drainPending());
    this.#changed();
  }

  /** Forgets deletes that every member has seen and that are old enough. */
  gcTombstones(): void {
    told(() => this.#native.dropTombstones());
    this.#changed();
  }

  /** Gives up what has waited too long. */
  cleanPendingBuffer(): void {
    told(() => this.#native.expirePending());
    this.#changed();
  }

  /** Keeps only the latest operations for peers. Default `maxLogSize`, that is 1,000. */
  gcLog(keepLastN?: number): void {
    const keep = count(keepLastN, 'keepLastN', LOG_MAX);
    told(() => this.#native.trimLog(keepLastN === undefined ? undefined : keep));
    this.#changed();
  }

  /** The whole document, as the originals have it. */
  snapshot(): CrdtSnapshot {
    return JSON.parse(told(() => this.#native.snapshot())) as CrdtSnapshot;
  }

  /** The same in bytes, a fraction of the size. */
  encodeSnapshot(): Uint8Array {
    return told(() => this.#native.encodeSnapshot());
  }

  /**
   * Replaces the document by a snapshot's, also one of an original; what it had is gone. Errors:
   * `invalid_json`, `invalid_message`, `too_large`, `io`; then nothing has changed.
   */
  restore(snapshot: CrdtSnapshot | Uint8Array | string): void {
    this.#replace(snapshot, false);
  }

  /**
   * Takes in what a snapshot has and this document has not, for a peer whom the log no longer helps.
   * Errors: as {@link JSONCrdt.restore}; `invalid_argument` for one of an original that lacks
   * operations of this document.
   */
  merge(snapshot: CrdtSnapshot | Uint8Array | string): void {
    this.#replace(snapshot, true);
  }

  #replace(snapshot: CrdtSnapshot | Uint8Array | string, merge: boolean): void {
    const bytes = snapshotBytes(snapshot);
    told(() => this.#native.restore(bytes, merge));
    this.#updateSource();
    this.#changed();
    this.emitAll('restore', { snapshot, merge });
  }

  /** Sizes of what it holds. */
  getStats(): CrdtStats {
    const { logSize, pendingSize, lwwSize, tombstonesSize, vcSize } = this.getMetrics();
    return { logSize, pendingSize, lwwSize, tombstonesSize, vcSize };
  }

  /** What was counted. */
  getMetrics(): CrdtMetrics {
    return JSON.parse(told(() => this.#native.metrics())) as CrdtMetrics;
  }

  /** The same in the text format of Prometheus. */
  metricsText(): string {
    return told(() => this.#native.metricsText());
  }

  /** The state. Error: `invalid_argument` for the options. */
  inspect(options: InspectOptions = {}): CrdtInspection {
    checkObject(options);
    const text = jsonOf(options, 'the options');
    return JSON.parse(told(() => this.#native.inspect(text))) as CrdtInspection;
  }

  /** The operations of the log, and what each depends on. */
  getCausalGraph(): CausalGraphNode[] {
    return JSON.parse(told(() => this.#native.causalGraph())) as CausalGraphNode[];
  }

  /** The document that operations of the log make of an empty object. */
  replay(options: ReplayOptions = {}): JsonValue {
    checkObject(options);
    const from = count(options.fromIndex, 'fromIndex', 0);
    const to = count(options.toIndex, 'toIndex', LOG_MAX);
    const text = told(() => this.#native.replay(from, to));
    const [ops, document] = JSON.parse(text) as [Op[], JsonValue];
    if (options.onOp) for (const [at, op] of ops.entries()) options.onOp(op, from + at);
    return document;
  }

  /**
   * Calls back after writes that may change what a pattern means: segments between dots, `*` for any
   * one of them, `**` for any number, as in `users.*.name`; or a path, in which they mean the same.
   * The function that it gives ends it.
   */
  watch(pattern: string | Path, callback: (event: WatchEvent) => void): () => void {
    if (typeof callback !== 'function') throw invalid('the callback must be a function');
    const id = told(() => this.#native.watch(jsonOf(pattern, 'the pattern')));
    this.#watches.set(id, callback);
    this.listenersChanged();
    return () => {
      if (!this.#watches.delete(id)) return;
      this.#native.unwatch(id);
      this.listenersChanged();
    };
  }

  /** Who takes part; only then deletes can be forgotten. Undefined: that is not known. */
  setMembers(members: string[] | undefined): void {
    const isText = (name: unknown) => typeof name === 'string';
    if (members !== undefined && !(Array.isArray(members) && members.every(isText))) {
      throw invalid('members must be an array of strings');
    }
    told(() => this.#native.setMembers(members));
  }

  /** When it resolves, the end of the machine does not lose what was written before. Error: `io`. */
  flush(): Promise<void> {
    return this.#wait(false);
  }

  /** Replaces the journal by a snapshot. This also happens by itself. Error: `io`. */
  checkpoint(): Promise<void> {
    return this.#wait(true);
  }

  async #wait(isCheckpoint: boolean): Promise<void> {
    const call = this.#calls.next();
    const done = this.#calls.wait<void>(call);
    this.#native.flush(isCheckpoint, call);
    await done;
  }

  #settle(): void {
    const { r } = JSON.parse(this.#native.take()) as { r?: Result[] };
    this.#calls.settle(r ?? []);
  }

  /** Ends it: its directory can be opened again, and every other call fails with `closed`. */
  close(): void {
    this.#listening = false;
    this.#native.close();
  }

  /** The text of an operation that travels. */
  static encodeOp(op: Op): string {
    return encodeOp(op);
  }

  /** An operation from its text. Error: `invalid_json`. */
  static decodeOp(text: string): Op {
    try {
      const op = JSON.parse(text) as Op;
      checkObject(op, 'an operation');
      textOf.remember(op, text);
      return op;
    } catch (error) {
      if (error instanceof DistflowError) throw error;
      throw new DistflowError('invalid_json', `Invalid JSON: ${(error as Error).message}`);
    }
  }

  /** What two snapshots differ in: of their documents, every path that changed. */
  static diffSnapshots(before: CrdtSnapshot, after: CrdtSnapshot): SnapshotDiff {
    const [old, now] = [jsonOf(before, 'the snapshot'), jsonOf(after, 'the snapshot')];
    return JSON.parse(told(() => native().documentDifference(old, now))) as SnapshotDiff;
  }

  #changed(): void {
    this.#clock = undefined;
    if (this.#listening) this.#tell();
  }

  /** Hands out what has happened. A listener that throws stops nobody else. */
  #tell(): void {
    const events = JSON.parse(this.#native.events()) as [string, object][];
    for (const [name, event] of events) {
      if (name === 'watch') {
        const { id, ...rest } = event as WatchEvent & { id: number };
        const callback = this.#watches.get(id);
        if (callback) attempt(() => callback(rest));
      } else if (name !== 'restore') {
        this.emitAll(name as keyof JSONCrdtEvents, event as never);
      }
    }
  }

  /** @internal Events cost something, so that they are kept only while somebody listens. */
  protected override listenersChanged(): void {
    const listening = this.#watches.size > 0 || this.eventNames().length > 0;
    if (listening === this.#listening) return;
    this.#listening = listening;
    this.#native.listen(listening);
  }
}

/** JSON, or a whole number, which needs none. */
type ValueText = string | number;

function valueText(value: JsonValue): ValueText {
  return Number.isSafeInteger(value) ? (value as number) : jsonOf(value, 'the value');
}

/** Whether the addon takes a path as it is: most have a few keys and nothing else. */
function isOfKeys(path: Path): path is string[] {
  if (!Array.isArray(path) || path.length > KEYS_MAX) return false;
  for (let at = 0; at < path.length; at++) if (typeof path[at] !== 'string') return false;
  return true;
}

function pathText(path: Path): string {
  if (!Array.isArray(path)) throw invalid('a path must be an array of strings and indices');
  return JSON.stringify(path);
}

function operationText(op: Op): string {
  checkObject(op, 'an operation');
  return textOf.get(op) ?? jsonOf(op, 'an operation');
}

function clockText(clock: VectorClock): string {
  checkObject(clock, 'a clock');
  return jsonOf(clock, 'a clock');
}
