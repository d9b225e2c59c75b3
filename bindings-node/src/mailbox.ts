import { DistflowError } from './error.js';
import { checkKnown, checkObject } from './options.js';
import type { MailboxConfig, MessageHandler, MessageMetadata } from './types.js';

export type { MailboxConfig, MessageHandler, MessageMetadata, Overflow } from './types.js';

const MAX_SIZE_DEFAULT = 1000;

/** A message in a {@link Mailbox}. */
export interface InternalMessage {
  /** What was sent. */
  payload: any;
  /** Who sent it, to whom, and when. */
  meta: MessageMetadata;
}

/**
 * A first-in-first-out queue with handlers. Messages wait until there is a handler; then each is
 * given to every handler, in order of registration.
 *
 * A node has a mailbox of its own, in native code; this class is for programs that use one by
 * themselves, as they could with the original package.
 */
export class Mailbox {
  readonly #maxSize: number;
  readonly #overflow: NonNullable<MailboxConfig['overflow']>;
  readonly #handlers: MessageHandler[] = [];
  #queue: InternalMessage[] = [];
  #draining = false;

  /** Errors: `invalid_argument` for a size or policy, or an option, that does not exist. */
  constructor(config: MailboxConfig = {}) {
    checkObject(config);
    checkKnown(config, ['maxSize', 'overflow']);
    this.#maxSize = config.maxSize ?? MAX_SIZE_DEFAULT;
    this.#overflow = config.overflow ?? 'drop-newest';
    if (typeof this.#maxSize !== 'number' || !(this.#maxSize >= 0)) {
      throw new DistflowError('invalid_argument', 'maxSize must be a number that is not negative');
    }
    if (!['drop-newest', 'drop-oldest', 'block'].includes(this.#overflow)) {
      throw new DistflowError(
        'invalid_argument',
        `overflow is '${this.#overflow}', but must be drop-newest, drop-oldest or block`,
      );
    }
  }

  /**
   * Adds a message. False when it was not taken because the mailbox is full; with `block` the
   * caller is to try again later, otherwise it is dropped.
   */
  push(message: InternalMessage): boolean {
    if (this.#queue.length >= this.#maxSize) {
      if (this.#overflow !== 'drop-oldest' || this.#maxSize < 1) return false;
      this.#queue.shift();
    }
    this.#queue.push(message);
    this.#drain();
    return true;
  }

  /**
   * Adds a handler. What waits is handed to it at once. What a handler throws is printed with
   * `Error in message handler:` and stops neither the others nor the messages behind it.
   */
  onMessage(handler: MessageHandler): void {
    if (typeof handler !== 'function') {
      throw new DistflowError('invalid_argument', 'a handler must be a function');
    }
    this.#handlers.push(handler);
    this.#drain();
  }

  /** Messages that wait. */
  size(): number {
    return this.#queue.length;
  }

  /** Messages that may wait. */
  getMaxSize(): number {
    return this.#maxSize;
  }

  /** A loop, so that a handler that pushes does not recurse. */
  #drain(): void {
    if (this.#draining || this.#handlers.length === 0) return;
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
        for (const handler of [...this.#handlers]) {
          try {
            handler(next.payload, next.meta);
          } catch (error) {
            console.error('Error in message handler:', error);
          }
        }
      }
    } finally {
      this.#draining = false;
    }
  }
}
