/** A JSON value without parts. */
export type JsonPrimitive = null | boolean | number | string;

/** An array in JSON. */
export type JsonArray = JsonValue[];

/** An object in JSON. */
export interface JsonObject {
  [key: string]: JsonValue;
}

/** Any JSON value. */
export type JsonValue = JsonPrimitive | JsonArray | JsonObject;

/** The name of a replica. */
export type ReplicaId = string;

/** Where something is in a document: keys of objects and indices of arrays. `[]` is all of it. */
export type Path = (string | number)[];

/**
 * A {@link Path}, or text that means one, the same in every language: a JSON pointer such as
 * `/todo/milk`, or one key, which must not look like more than that (`todo.milk` is refused).
 */
export type Place = Path | string;

/**
 * How many operations of each source were taken in. The member `~` is no source: until when, in Unix
 * milliseconds, everything was taken in of lives that have ended and are not counted any more.
 */
export type VectorClock = Record<string, number>;

/** When something was written, and by whom: Unix milliseconds, a counter, a replica. */
export interface HLC {
  t: number;
  c: number;
  r: string;
}

/** The same by the name that it had in the original package. */
export type Hlc = HLC;

/** What an operation does. */
export type OpKind = 'set' | 'del' | 'tombstone';

/** An operation. */
export interface Op {
  /** Names it for people. */
  id: string;
  kind: OpKind;
  path: Path;
  /** Of a set only. */
  value?: JsonValue;
  hlc: HLC;
  /**
   * The source's clock, this operation included: `deps[src]` is its number. Of the others, those of
   * which it has seen more than at its operation before; from an original, all.
   */
  deps: VectorClock;
  /** The source that it counts under: the name of a replica, and one of its lives. */
  src: string;
  /** Lives that have ended, until when, and how many operations they had written. */
  ended?: { until: number; of: VectorClock } | undefined;
}

/** Options of a {@link JSONCrdt}. */
export interface CrdtOptions {
  /** Operations kept for peers; at twice as many the oldest go. Default 1,000. */
  maxLogSize?: number | undefined;
  /** Operations that may wait for others before them. Default 10,000. */
  maxPendingSize?: number | undefined;
  /** Writes remembered above which the event `limit` says so. Default 100,000. */
  maxLwwSize?: number | undefined;
  /** How long an operation may wait for others. Default 60,000. */
  pendingTimeoutMs?: number | undefined;
  /** Age at which a delete that all members have seen may be forgotten. Default 3,600,000. */
  tombstoneGracePeriodMs?: number | undefined;
  /** How far ahead a stamp may be without the event `conflict`. Default 300,000. */
  maxDriftMs?: number | undefined;
  /** Trims and forgets by itself. Default true. */
  enableAutoGc?: boolean | undefined;
  /** The names of all replicas. Only then deletes are forgotten. Default: not known. */
  members?: string[] | undefined;
  /** Where it is kept; it is as it was when it was last open. Default: in memory only. */
  directory?: string | undefined;
  /**
   * Opens the directory also when files in it are damaged, with all that is whole. Where something was
   * lost, the document writes under a new source, and what others have comes back with the next exchange;
   * copies of the files stay there as `damaged-…`. Default false: damage is an error.
   */
  salvage?: boolean | undefined;
  /**
   * The source to write as at first, instead of one of this life's own: for a program that makes sure
   * by itself that nobody else ever writes as the same, in no later life either.
   */
  source?: string | undefined;
}

/** A whole document, as the originals have it. */
export interface CrdtSnapshot {
  doc: JsonValue;
  vc: VectorClock;
  hlc: HLC;
  lww: [key: string, hlc: HLC][];
  tombstones: [key: string, hlc: HLC][];
  replicaId: string;
  /** All that the others leave out, in base64; the originals pass over it. */
  distflow?: string | undefined;
}

/** Event `change`: a local write. */
export interface ChangeEvent {
  type: 'set' | 'del';
  path: Path;
  /** Of a set only. */
  value?: JsonValue;
  op: Op;
}

/** Event `sync`: an operation of another replica was taken in. */
export interface SyncEvent {
  op: Op;
}

/** Event `conflict`. */
export type ConflictEvent =
  | {
      /** A local set below something that was deleted, or on it. */
      type: 'parent-tombstone';
      path: Path;
      parentPath: Path;
      operation: 'set';
    }
  | {
      /** A set of another replica that a later delete of the same path hides. */
      type: 'tombstone-wins';
      path: Path;
      opHlc: HLC;
      tombstoneHlc: HLC;
    }
  | {
      /** An operation stamped further ahead of this host's clock than `maxDriftMs`. */
      type: 'clock-drift';
      path: Path;
      opHlc: HLC;
      aheadMs: number;
    }
  | {
      /**
       * Two histories are written as one source: an operation that has another's number, or one of the
       * own source that was not made here. Whoever's source it is goes on as another one.
       */
      type: 'source-reused';
      /** The operation's; empty, as that of the whole document, if there is none. */
      path: Path;
      source: string;
      number: number;
      /** Unless it was found in a snapshot. */
      op?: Op;
    }
  | {
      /**
       * A source goes on that was counted as ended: others do not take in what it writes. If it is this
       * replica's own, it goes on as another one.
       */
      type: 'source-retired';
      /** Empty: the whole document is meant. */
      path: Path;
      source: string;
      /** How many of its operations are not known where it was counted as ended. */
      unseen: number;
    }
  | {
      /** An operation that counts and does nothing: of another version, or beyond the limits. */
      type: 'ignored';
      path: Path;
      reason: string;
      op: Op;
    };

/** Event `gc`: something was forgotten. */
export interface GcEvent {
  /** `lives`: sources whose lives have ended are counted no longer. */
  type: 'log' | 'pending' | 'tombstones' | 'lives';
  removed: number;
  currentSize: number;
}

/** Event `limit`: more writes are remembered than `maxLwwSize`. Nothing is dropped. */
export interface LimitEvent {
  type: 'registers';
  size: number;
  limit: number;
}

/** Event `restore`: a snapshot was taken in. */
export interface RestoreEvent {
  snapshot: CrdtSnapshot | Uint8Array | string;
  /** Whether what was there stayed. */
  merge: boolean;
}

/** Event `refused`: `receive` was given what is no operation, or found no room for it. */
export interface RefusedEvent {
  error: Error;
  op: unknown;
}

/** What a callback of {@link JSONCrdt.watch} is told. */
export interface WatchEvent {
  /** The path that was written: of what is watched, below it, or above it. */
  path: Path;
  /**
   * The operation; undefined, with the path of the whole document, where it is not known what has
   * changed: a snapshot was merged or restored, or events are gone. Then look again.
   */
  op?: Op;
  /** Whether it was written here. */
  local: boolean;
}

/** What became of the operations of a batch. */
export interface BatchReceived {
  applied: number;
  duplicates: number;
  pending: number;
  /** Refused, because somebody else writes as the same source; see the event `conflict`. */
  refused: number;
}

/** What a document has counted. */
export interface CrdtMetrics {
  totalOps: number;
  localOps: number;
  /** Operations of others that did not have to wait. */
  remoteOps: number;
  /** Of the last 60 seconds. */
  opsPerSecond: number;
  /** Of the last 1,000 operations of others: from their stamps to being taken in. */
  avgLatencyMs: number;
  totalConflicts: number;
  tombstoneConflicts: number;
  pathConflicts: number;
  gcRuns: number;
  gcLogOps: number;
  gcTombstones: number;
  gcPendingOps: number;
  logSize: number;
  pendingSize: number;
  lwwSize: number;
  tombstonesSize: number;
  vcSize: number;
}

/** Sizes of what a document holds. */
export type CrdtStats = Pick<
  CrdtMetrics,
  'logSize' | 'pendingSize' | 'lwwSize' | 'tombstonesSize' | 'vcSize'
>;

/** An operation and what it depends on: each as the first 8 characters of a replica and a number. */
export interface CausalGraphNode {
  opId: string;
  kind: Op['kind'];
  /** As one text: `.key` and `#index`. */
  path: string;
  hlc: HLC;
  deps: string[];
}

/** Options of {@link JSONCrdt.inspect}. */
export interface InspectOptions {
  /** Default 10. */
  logSampleSize?: number | undefined;
  /** Default 10. */
  pendingSampleSize?: number | undefined;
  /** Default false. */
  includeCausalGraph?: boolean | undefined;
}

/** The state of a document. */
export interface CrdtInspection {
  replicaId: string;
  doc: JsonValue;
  vc: VectorClock;
  hlc: HLC;
  logSize: number;
  /** The latest operations. */
  logSample: Op[];
  pendingSize: number;
  /** Those that have waited longest. */
  pendingSample: Op[];
  lwwPaths: string[];
  tombstonePaths: string[];
  metrics: CrdtMetrics;
  causalGraph?: CausalGraphNode[];
}

/** What two snapshots differ in. */
export interface SnapshotDiff {
  docChanges: {
    path: Path;
    before?: JsonValue;
    after?: JsonValue;
    type: 'added' | 'removed' | 'modified';
  }[];
  vcChanges: { replica: string; before: number; after: number }[];
  hlcDiff: { before: HLC; after: HLC };
  lwwChanges: { added: string[]; removed: string[]; modified: string[] };
  tombstoneChanges: { added: string[]; removed: string[] };
}

/** Options of {@link JSONCrdt.replay}. */
export interface ReplayOptions {
  /** The first operation of the log. Default 0. */
  fromIndex?: number | undefined;
  /** Behind the last one. Default: the length of the log. */
  toIndex?: number | undefined;
  /** Is called with each. */
  onOp?: ((op: Op, index: number) => void) | undefined;
}

/** Events of a {@link JSONCrdt} and their arguments. */
export interface JSONCrdtEvents {
  /** A local write. */
  change: [event: ChangeEvent];
  /** An operation of another replica was taken in. */
  sync: [event: SyncEvent];
  conflict: [event: ConflictEvent];
  gc: [event: GcEvent];
  limit: [event: LimitEvent];
  restore: [event: RestoreEvent];
  refused: [event: RefusedEvent];
}
