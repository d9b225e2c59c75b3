/** Any JSON value. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | JsonValue[]
  | { [key: string]: JsonValue };

/** Where something is in a document: keys of objects and indices of arrays. `[]` is all of it. */
export type Path = (string | number)[];

/** How many operations of each replica were taken in. */
export type VectorClock = Record<string, number>;

/** When something was written, and by whom: Unix milliseconds, a counter, a replica. */
export interface HLC {
  t: number;
  c: number;
  r: string;
}

/** An operation. */
export interface Op {
  /** Names it for people. */
  id: string;
  kind: 'set' | 'del' | 'tombstone';
  path: Path;
  /** Of a set only. */
  value?: JsonValue;
  hlc: HLC;
  /** The source's clock, this operation included: `deps[src]` is its number. */
  deps: VectorClock;
  src: string;
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
      /** An operation that counts and does nothing: of another version, or beyond the limits. */
      type: 'ignored';
      reason: string;
      op: Op;
    };

/** Event `gc`: something was forgotten. */
export interface GcEvent {
  type: 'log' | 'pending' | 'tombstones';
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
  op: Op;
  /** Whether it was written here. */
  local: boolean;
}

/** What became of the operations of a batch. */
export interface BatchReceived {
  applied: number;
  duplicates: number;
  pending: number;
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
