/** How a broker is reached. All have defaults. */
export interface BrokerOptions {
  /** `auto`, the default: 5, or 3.1.1 where the broker does not speak it; `3.1.1` or `5`. */
  mqttVersion?: 'auto' | '3.1.1' | '5';
  /** User name; also in the URL. */
  username?: string;
  /** Password; also in the URL. */
  password?: string;
  /** File with the certificates to trust (PEM); by default those of the system. */
  caFile?: string;
  /** File with a certificate for this client (PEM), with `keyFile`. */
  certFile?: string;
  /** File with that certificate's key (PEM). */
  keyFile?: string;
  /** Seconds of silence after which a sign of life is sent. Default 10, at least 2. */
  keepAliveS?: number;
  /** Milliseconds within which the broker has to be reached. Default 10,000. */
  connectTimeoutMs?: number;
}

/** What a session is created with. All have defaults. */
export interface CreateOptions {
  /** The session's id; by default a new one. */
  sessionId?: string;
  /** This instance's id; by default a new one. */
  instance?: string;
  /** The name of the model, for the list. Default `Unknown`. */
  modelName?: string;
  /** Members without which the game can't start, the creator included. Default 1. */
  playersMin?: number;
  /** Members for whom there is room, at most 1,024. Default 4. */
  playersMax?: number;
  /** The seed of the session's random numbers, 1 to 1,000,000; by default one is drawn. */
  seed?: number;
  /** Whether another member continues the session when the creator is lost or leaves. Default false. */
  handOver?: boolean;
  /** Seconds from the moment the session is full to its start by itself; by default never. */
  autoStartS?: number;
}

/** Where a session is in its life. */
export type SessionState = 'open' | 'starting' | 'in_progress' | 'closed';

/** A session as it is known here. */
export interface SessionView {
  /** What this instance is in it. */
  role: 'creator' | 'member' | 'observer';
  /** `null` until it is known. */
  state: SessionState | null;
  /** The creator first, then in the order in which they joined. */
  members: string[];
  /** The creator's id. */
  creator: string | null;
  /** The model's name. */
  modelName: string | null;
  /** Grows with every change. */
  version: number | null;
  /** Members without which the game can't start. */
  playersMin: number | null;
  /** Members for whom there is room. */
  playersMax: number | null;
  /** How many creators there were before this one. */
  term: number | null;
  /** Whether another member continues it when its creator is lost. */
  handOver: boolean | null;
  /** Whether this instance is in it. */
  isIn: boolean;
  /** Why it is over for this instance. */
  ending: 'closed' | 'creator_lost' | 'left' | 'removed' | null;
  /** The seed, 1 to 1,000,000. */
  seed: number | null;
  /** Players that are reserved, with the instances that have them. */
  reserved: Record<string, string>;
  /** Players that are played, with the instances that play them. */
  registered: Record<string, string>;
  /** Whether as many are registered as are needed. */
  allPlayersSelected: boolean;
  /** Whether there is a connection to the broker; without, all this may be old. */
  isConnected: boolean;
  /** Messages that could not be understood. */
  ignored: number;
}

/**
 * How much of what is on the broker a list has: `unknown` while what the broker has kept is under way;
 * `announcements` while it waits for sessions to announce themselves, within 6 s, because the broker brings
 * nothing that it has kept; `complete`; or `cut_off` when a session was missing from what was brought, or
 * there are more than the list has room for.
 */
export type Completeness = 'unknown' | 'announcements' | 'complete' | 'cut_off';

/** A session of the list. */
export interface Listing {
  /** The session's id. */
  sessionId: string;
  /** The model's name. */
  modelName: string;
  /** Where it is in its life. */
  state: SessionState;
  /** Who is in it; empty until its document has come. */
  members: string[];
  /** Members without which the game can't start. */
  playersMin: number;
  /** Members for whom there is room. */
  playersMax: number;
  /** The creator's id. */
  creator: string;
  /** Players that were seen to be registered. */
  players: string[];
  /** Whether somebody can join. */
  isJoinable: boolean;
}

/** A row of the list, with the texts and hints of the original programs. */
export interface Row {
  /** The session's id. */
  sessionId: string;
  /** What the row says, check mark included. */
  text: string;
  /** What it says when it is pointed at, in lines. */
  tooltip: string;
  /** Whether this instance is in it. */
  isChecked: boolean;
  /** Whether there is no room. */
  isFull: boolean;
  /** Colour as `#rrggbb`, where it differs from the usual. */
  background: string | null;
  /** Colour of the text, likewise. */
  foreground: string | null;
  /** Whether the text is slanted. */
  isItalic: boolean;
}

/** Events of a {@link Session} and their arguments. */
export interface SessionEvents {
  /** Another instance is in. */
  memberJoined: [event: { instance: string }];
  /** Another instance is no longer in. */
  memberLeft: [event: { instance: string }];
  /** The session goes on in its life. */
  stateChanged: [event: { state: SessionState }];
  /** Seconds until the start. */
  countdown: [event: { seconds: number }];
  /** The broker does not let this instance publish something, or subscribe to it; `text` is what it says. */
  notAllowed: [event: { action: 'publish' | 'subscribe'; topic: string; text: string }];
  /** The countdown was stopped: somebody left. */
  countdownStopped: [event: Record<string, never>];
  /** The creator has started the game. */
  gameStarted: [event: { by: string; kind: 'manual' | 'auto' }];
  /** Another instance continues the session. */
  creatorChanged: [event: { creator: string; term: number }];
  /** The seed is known, or another. */
  seedChanged: [event: { seed: number }];
  /** The creator has decided whose the player is. */
  reserved: [event: { player: string; instance: string }];
  /** Nobody has the player reserved any more. */
  released: [event: { player: string }];
  /** An instance says that it plays a player. */
  registered: [event: { player: string; instance: string }];
  /** As many players are registered as are needed. */
  allPlayersSelected: [event: Record<string, never>];
  /**
   * The game said something: as text, and as bytes for what is none. It is never called as a method.
   */
  game: [event: { name: string; payload: string; bytes: Buffer }];
  /** The last event. It is over for this instance: `closed`, `creator_lost`, `left` or `removed`. */
  ended: [event: { reason: string; text: string }];
}
