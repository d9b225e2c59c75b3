import { Calls, type Result, attempt, weakly } from './calls.js';
import { TypedEmitter } from './emitter.js';
import { DistflowError, fromThrown, invalid } from './error.js';
import type {
  BatchReceived,
  CausalGraphNode,
  CrdtInspection,
  CrdtMetrics,
  CrdtOptions,
  CrdtSnapshot,
  CrdtStats,
  Hlc,
  InspectOptions,
  JSONCrdtEvents,
  JsonValue,
  Op,
  Path,
  Place,
  ReplayOptions,
  ReplicaId,
  SnapshotDiff,
  VectorClock,
  WatchEvent,
} from './json-crdt-types.js';
import { INSPECT, inspected } from './inspect.js';
import { type NativeDocument, native } from './native.js';
import { encodeOp, jsonOf, textOf } from './op-text.js';
import { checkObject } from './options.js';

export type * from './json-crdt-types.js';

const APPLIED = 1;
const KEYS_MAX = 16;
const LOG_MAX = 0xffff_ffff;
const PIECE_BYTES = 1 << 20;

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
export class JSONCrdt extends TypedEmitter<JSONCrdtEvents> {
  readonly #native: NativeDocument;
  readonly #write: (value: ValueText | undefined, path: string) => string;
  readonly #writeKeys: (value: ValueText | undefined, ...keys: string[]) => string;
  readonly #receive: (op: string) => number;
  readonly #calls = new Calls(this);
  readonly #watches = new Map<number, (event: WatchEvent) => void>();
  readonly #replica: string;
  /** Time, counter and number of the operation that was written last. */
  readonly #numbers = new Float64Array(3);
  #source = '';
  /** What the text of its operations ends with; nothing does so before the first. */
  #tail = '\0';
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
    this.#native = told(() => new (native().NativeDocument)(replica, ...texts));
    this.#replica = replica;
    this.#write = this.#native.writer(false, this.#numbers);
    this.#writeKeys = this.#native.writer(true, this.#numbers);
    this.#receive = this.#native.receiver();
  }

  #updateSource(): void {
    this.#source = this.#native.source();
    const quoted = JSON.stringify(this.#source);
    this.#isPlain = quoted === `"${this.#source}"`;
    this.#tail = `"src":${quoted}}`;
  }

  /** The whole document, as a copy. */
  value(): JsonValue {
    return JSON.parse(told(() => this.#native.json())) as JsonValue;
  }

  /** What is at a path, as a copy; undefined if nothing is. Error: `invalid_argument`. */
  get(path: Place): JsonValue | undefined {
    const text = told(() => this.#native.get(pathText(path)));
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
   * The source it writes as: `src` of its operations, and its key in clocks. It is made from the name
   * at the first write, and belongs to this life, or to the directory; before, it is the name.
   */
  source(): string {
    return told(() => this.#native.source());
  }

  /**
   * Sets the value at a path. Missing objects on the way are made. The operation is for the other
   * replicas.
   *
   * Errors: `invalid_argument` for a path that leads through something else than it says, and for
   * what is beyond the limits; `too_large`; `io` when it can't be kept. Then nothing has changed.
   */
  set(path: Place, value: JsonValue): Op {
    const json = valueText(value);
    const text = this.#writeText(path, json);
    const copy = typeof value === 'object' ? (JSON.parse(json as string) as JsonValue) : value;
    // What JSON has no word for, it writes as null.
    const plain = typeof copy === 'number' && !Number.isFinite(copy) ? null : copy;
    return this.#op('set', path, text, plain);
  }

  /** Takes away what is at a path; without it, nothing else changes. Errors: as {@link JSONCrdt.set}. */
  del(path: Place): Op {
    return this.#op('tombstone', path, this.#writeText(path));
  }

  /**
   * Like {@link JSONCrdt.set}, and gives only the operation's text, as {@link JSONCrdt.encodeOp} does:
   * quicker for whoever sends it anyway.
   */
  setEncoded(path: Place, value: JsonValue): string {
    const text = this.#writeText(path, valueText(value));
    this.#wrote(text);
    if (this.#listening) this.#handOut();
    return text;
  }

  #writeText(path: Place, value?: ValueText): string {
    const where = isOfKeys(path) ? path : pathText(path);
    try {
      return typeof where === 'string' ? this.#write(value, where) : this.#writeKeys(value, ...where);
    } catch (error) {
      throw fromThrown(error);
    }
  }

  #op(kind: Op['kind'], path: Place, text: string, value?: JsonValue): Op {
    this.#wrote(text);
    if (typeof path === 'string') {
      const op = JSON.parse(text) as Op;
      textOf.remember(op, text);
      if (this.#listening) this.#handOut();
      return op;
    }
    const src = this.#source;
    const [t, c] = this.#numbers as unknown as [number, number];
    // Behind {"id":", unless the name is written with escapes.
    const id = this.#isPlain ? text.slice(7, text.indexOf('"', 7)) : (JSON.parse(text) as Op).id;
    // Behind it come only names of sources, in which a quote would be written with a backslash.
    const start = text.lastIndexOf('"deps":{') + 7;
    const end = text.indexOf('},"src":', start) + 1;
    const deps = JSON.parse(text.slice(start, end)) as VectorClock;
    const [hlc, copy] = [{ t, c, r: src }, [...path]];
    const op: Op =
      kind === 'set'
        ? { id, kind, path: copy, value: value as JsonValue, hlc, deps, src }
        : { id, kind, path: copy, hlc, deps, src };
    // Sometimes it also says which lives have ended.
    if (!text.endsWith(this.#tail)) op.ended = (JSON.parse(text) as Op).ended;
    textOf.remember(op, text);
    if (this.#listening) this.#handOut();
    return op;
  }

  /** Notes what an operation that was written now says of source and clock. */
  #wrote(text: string): void {
    if (!text.endsWith(this.#tail)) {
      this.#updateSource();
      this.#clock = undefined;
    }
    if (this.#clock) this.#clock[this.#source] = this.#numbers[2] as number;
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
      this.tell('refused', [{ error, op }]);
    }
    this.#clock = undefined;
    if (this.#listening) this.#handOut();
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
      const [applied, duplicates, pending, refused] = counts as [number, number, number, number];
      return { applied, duplicates, pending, refused };
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
   * The whole document in pieces of text, each of at most so many bytes (at least 1,024, by default
   * 1 MiB), for {@link JSONCrdt.mergePiece}: for a peer that one message can't bring all of it. Errors:
   * `invalid_argument`; `too_large` for more than 1 GiB.
   */
  snapshotPieces(bytes: number = PIECE_BYTES): string[] {
    const most = count(bytes, 'bytes', PIECE_BYTES);
    return told(() => this.#native.snapshotPieces(most));
  }

  /**
   * Takes in a piece of {@link JSONCrdt.snapshotPieces}, in any order, once or more. True: it was the
   * last one that was missing, and the snapshot was merged. Pieces of at most four snapshots are kept at
   * a time. Errors: `invalid_message` for what is no piece; and as {@link JSONCrdt.merge}.
   */
  mergePiece(piece: string): boolean {
    if (typeof piece !== 'string') throw invalid('a piece must be a string');
    try {
      return told(() => this.#native.mergePiece(piece));
    } finally {
      this.#changed();
    }
  }

  /**
   * Replaces the document by a snapshot's, also one of an original; what it had is gone. From then on it
   * writes as another source. Errors:
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
    try {
      told(() => this.#native.restore(bytes, merge));
    } finally {
      // Of two histories of one source it tells also when it refuses.
      this.#changed();
    }
    this.tell('restore', [{ snapshot, merge }]);
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
   * one of them, `**` for any number, as in `users.*.name`; or a path, in which they mean the same. After
   * a merge or restore, and when events are gone, it is called once without an operation.
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

  /**
   * Who takes part; only then deletes can be forgotten, and lives that have ended counted no longer.
   * Undefined: that is not known.
   */
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
    const wake = weakly(this, JSONCrdt.#settle);
    await this.#calls.ask<void>((call) => this.#native.flush(isCheckpoint, call, wake));
  }

  static #settle(document: JSONCrdt): void {
    const { r } = JSON.parse(document.#native.take()) as { r?: Result[] };
    document.#calls.settle(r ?? []);
  }

  /**
   * Ends it: its directory can be opened again once the promises of `flush` and `checkpoint` have settled, and every
   * other call fails with `closed`.
   */
  close(): void {
    this.#listening = false;
    this.#native.close();
  }

  /** @internal What `console.log` shows. */
  [INSPECT](...args: unknown[]): string {
    let of: object = { replica: this.#replica, state: 'closed' };
    try {
      of = { replica: this.#replica, clock: this.clock(), value: this.value() };
    } catch {
      // Closed.
    }
    return inspected(this, of, args);
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
    if (this.#listening) this.#handOut();
  }

  /** Hands out what has happened. A listener that throws stops nobody else. */
  #handOut(): void {
    const events = JSON.parse(this.#native.events()) as [string, object][];
    for (const [name, event] of events) {
      if (name === 'watch') {
        const { id, ...rest } = event as WatchEvent & { id: number };
        const callback = this.#watches.get(id);
        if (callback) attempt(() => callback(rest));
      } else if (name === 'conflict') {
        const { op } = event as { op?: Op };
        this.tell(name, [{ path: op?.path ?? [], ...event }]);
      } else if (name !== 'restore') {
        this.tell(name, [event]);
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

/** Which of two stamps is later: below 0, the second; above, the first; 0 for the same. */
export function compareHlc(a: Hlc, b: Hlc): number {
  // Replicas in order of their names' UTF-8, like everywhere.
  return a.t - b.t || a.c - b.c || Buffer.compare(Buffer.from(a.r), Buffer.from(b.r));
}

/** A clock after one more operation of a replica; the given one stays as it is. */
export function vcTick(clock: VectorClock, replica: ReplicaId): VectorClock {
  return { ...clock, [replica]: (clock[replica] ?? 0) + 1 };
}

/** Whether an operation is the next of its source for somebody with this clock, who has all before it. */
export function isCausallyReady(local: VectorClock, op: Op): boolean {
  return Object.entries({ [op.src]: 0, ...op.deps }).every(([replica, number]) => {
    const have = local[replica] ?? 0;
    return replica === op.src ? number === have + 1 : number <= have;
  });
}

/** JSON, or a whole number, which needs none. */
type ValueText = string | number;

function valueText(value: JsonValue): ValueText {
  return Number.isSafeInteger(value) ? (value as number) : jsonOf(value, 'the value');
}

/** Whether the addon takes a path as it is: most have a few keys and nothing else. */
function isOfKeys(path: Place): path is string[] {
  if (!Array.isArray(path) || path.length > KEYS_MAX) return false;
  for (let at = 0; at < path.length; at++) if (typeof path[at] !== 'string') return false;
  return true;
}

function pathText(path: Place): string {
  if (typeof path === 'string') return path;
  if (!Array.isArray(path)) throw invalid('a path must be an array of strings and indices, or text');
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
