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

/** A handler of messages. Payloads are whatever JSON the sender sent. */
export type MessageHandler = (message: any, meta: MessageMetadata) => void;
