import { hold, letGo } from './calls.js';
import type { MessageMetadata } from './types.js';

/** A message of a node's async iterator. */
export interface NodeMessage {
  /** What was sent; undefined when the sender sent undefined. */
  payload: any;
  /** Who sent it, to whom, and when. */
  meta: MessageMetadata;
}

type Step = IteratorResult<NodeMessage, undefined>;

/** @internal What an iterator needs of the delivery that it is of. */
export interface IteratorHost {
  /** It takes part from now on. False when the node has ended. */
  join(iterator: MessageIterator): boolean;
  /** It takes no part any more; these it has not given out. */
  leave(iterator: MessageIterator, left: NodeMessage[]): void;
  /** It has nothing waiting any more. */
  emptied(): void;
}

/** @internal An async iterator over the messages of a node. A pending step keeps Node alive. */
export class MessageIterator implements AsyncIterableIterator<NodeMessage> {
  readonly #host: IteratorHost;
  #queue: NodeMessage[] = [];
  #at = 0;
  #waiting: ((step: Step) => void)[] = [];
  #joined = false;
  #done = false;

  constructor(host: IteratorHost) {
    this.#host = host;
  }

  get isEmpty(): boolean {
    return this.#at === this.#queue.length;
  }

  push(message: NodeMessage): void {
    const waiting = this.#waiting.shift();
    if (!waiting) {
      this.#queue.push(message);
      return;
    }
    letGo();
    waiting({ done: false, value: message });
  }

  /** The node has ended: what waits is still given out. */
  end(): void {
    this.#done = true;
    for (const waiting of this.#waiting.splice(0)) {
      letGo();
      waiting({ done: true, value: undefined });
    }
  }

  next(): Promise<Step> {
    if (!this.#joined && !this.#done) {
      this.#joined = true;
      this.#done = !this.#host.join(this);
    }
    const value = this.#queue[this.#at];
    if (value) {
      this.#at += 1;
      if (this.isEmpty) {
        this.#queue = [];
        this.#at = 0;
        this.#host.emptied();
      }
      return Promise.resolve({ done: false, value });
    }
    if (this.#done) return Promise.resolve({ done: true, value: undefined });
    hold();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<Step> {
    const left = this.#queue.slice(this.#at);
    this.#queue = [];
    this.#at = 0;
    this.end();
    if (this.#joined) this.#host.leave(this, left);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
