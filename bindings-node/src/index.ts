export { NodeRuntime } from './node-runtime.js';
export type {
  DiscoverOptions,
  NodeRuntimeEvents,
  NodeStats,
  SendFailure,
} from './node-runtime.js';
export type { NodeRuntimeOptions } from './options.js';
export type { NodeMessage } from './messages.js';
export type { WaitOptions } from './calls.js';
export type {
  MailboxConfig,
  MessageHandler,
  MessageMetadata,
  NodeInfo,
  Overflow,
  PeerInfo,
} from './types.js';
export { Mailbox } from './mailbox.js';
export type { InternalMessage } from './mailbox.js';
export { JSONCrdt, compareHlc, isCausallyReady, vcTick } from './json-crdt.js';
export type * from './json-crdt-types.js';
export { LogLevel, Logger, configureLogger, createTransport, getLogger } from './logger.js';
export type { LogEntry, LogTransport, LoggerOptions } from './logger.js';
export { PMD } from './pmd.js';
export type { PMDEvents, PMDOptions, RegisteredNode } from './pmd.js';
export { MessageType, PMDClient } from './pmd-client.js';
export type { Message, PMDClientEvents, PeerEvent, RegisterPayload } from './pmd-client.js';
export { Session, SessionList, SessionManager } from './sessions.js';
export type {
  BrokerOptions,
  CreateOptions,
  Completeness,
  Listing,
  Row,
  SessionEvents,
  SessionListEvents,
  SessionState,
  SessionView,
} from './sessions.js';
export { Transport } from './transport.js';
export { DistflowError } from './error.js';
export type { DistflowErrorOptions, ErrorCode } from './error.js';

import { native } from './native.js';

/** The version of the addon, which is that of the package. */
export function version(): string {
  return native().version();
}
