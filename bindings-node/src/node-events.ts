import type { DistflowError } from './error.js';
import type { MessageMetadata, NodeInfo } from './types.js';

/** Messages that were accepted by `send` and can't be delivered any more. */
export interface SendFailure {
  /** Id of the node they were for. */
  to: string;
  /** How many. */
  messages: number;
  /** Why. */
  error: DistflowError;
}

/** Events of a {@link NodeRuntime} and their arguments. */
export interface NodeRuntimeEvents {
  /** A message arrived. Messages wait in the mailbox until there is a listener. */
  message: [message: any, meta: MessageMetadata];
  /** A node joined. Those that were there before are not announced; see `peers`. */
  'peer:join': [peer: NodeInfo];
  /**
   * A node left, and why: `unregistered`, `closed` (its connection), `timeout`, `replaced` or
   * `unknown`. Also this node itself when it shuts down.
   */
  'peer:leave': [peer: NodeInfo, reason: string];
  /** The connection to the PMD is lost. Messages to known peers still go. */
  'pmd:lost': [error: DistflowError];
  /** Registered with a PMD again; joins and leaves of the meantime have been told. */
  'pmd:restored': [];
  /** The PMD refused to register this node again; it is tried again. */
  'registration:refused': [error: DistflowError];
  /** Messages found the mailbox full; how many since the start. At most once a second. */
  'mailbox:overflow': [dropped: number];
  /** Messages that `send` had accepted are lost. */
  'send:failed': [failure: SendFailure];
}

/** @internal Events that a program waits for; those that tell of trouble are heard in passing. */
export const AWAITED = ['message', 'peer:join', 'peer:leave'] as const;
