/** Words in the member `type` of a PMD's messages. */
export enum MessageType {
  REGISTER = 'register',
  UNREGISTER = 'unregister',
  RESOLVE = 'resolve',
  LIST = 'list',
  HEARTBEAT = 'heartbeat',
  WATCH = 'watch',
  SHUTDOWN = 'shutdown',
  RESPONSE = 'response',
  EVENT = 'event',
}

/** A message to or from a PMD. */
export interface Message {
  /** What it is. */
  type: MessageType | string;
  /** Its content. */
  payload: any;
  /** Given by the client, repeated in the response; absent in events. */
  requestId?: string;
}

/** What a client registers a node with. */
export interface RegisterPayload {
  /** Its id. */
  nodeId: string;
  /** The name others find it by. */
  alias?: string;
  /** The host to dial it at. */
  host: string;
  /** The TCP port it listens on. */
  port: number;
}

/** A node as the registry describes it. */
export interface NodeInfo {
  /** Its id; 16 hex digits unless it chose another. */
  nodeId: string;
  /** The name others find it by; absent when it has none. */
  alias?: string;
  /** The host to dial it at, as it registered it. */
  host: string;
  /** The TCP port it listens on. */
  port: number;
  /** Unix milliseconds of its registration or last heartbeat. */
  lastHeartbeat: number;
  /** Metadata it registered with; absent when it has none, as with the original packages. */
  meta?: Record<string, unknown>;
}

/** A node as `discover` tells it. */
export interface PeerInfo {
  /** The name others find it by; absent when it has none. */
  alias?: string;
  /** Its id. */
  nodeId: string;
  /** The host to dial it at. */
  host: string;
  /** The TCP port it listens on. */
  port: number;
  /** Metadata it registered with; absent when it has none. */
  meta?: Record<string, unknown>;
}

/** What is known of a message beside its payload. */
export interface MessageMetadata {
  /** Id of the node that sent it, by its own account. */
  from: string;
  /** Id of the node it was sent to: this one. */
  to: string;
  /** Unix milliseconds of the sender's clock when it was sent. */
  timestamp: number;
  /**
   * Alias of the node that sent it, by its own account; of an original package, as the PMD knows
   * it. Absent when it has none.
   */
  alias?: string;
}

/**
 * What happens to a message that finds a mailbox full: the arriving one is dropped, the oldest
 * waiting one is dropped, or the senders wait. Drops are counted.
 */
export type Overflow = 'drop-newest' | 'drop-oldest' | 'block';

/** Bounds of a mailbox. */
export interface MailboxConfig {
  /** Messages that may wait. Default 1000. */
  maxSize?: number | undefined;
  /** What happens when it is full. Default `drop-newest`. */
  overflow?: Overflow | undefined;
  /** Bytes of payload that may wait; only a node's mailbox counts them. Default 16 MiB. */
  maxBytes?: number | undefined;
}

/**
 * A handler of messages. Payloads are whatever JSON the sender sent. A promise that it returns counts:
 * the message is being handled until it settles.
 */
export type MessageHandler = (message: any, meta: MessageMetadata) => unknown;
