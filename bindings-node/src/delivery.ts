import { rethrow } from './calls.js';
import { type IteratorHost, MessageIterator, type NodeMessage } from './messages.js';
import type { MessageMetadata } from './types.js';

type Listener = (...args: any[]) => unknown;

/** What the addon hands out at once has a bound of its own, below this. */
const ROOM_MAX = 1 << 20;

/** @internal What the delivery of messages needs of its node. */
export interface DeliveryHost {
  /** The `message` listeners of this moment. */
  listeners(): Function[];
  /** Calls one of them. */
  call(listener: Listener, payload: unknown, meta: MessageMetadata): unknown;
  /** Whether the addon hands out messages, and whether somebody will want them. */
  receive(wanted: boolean, attended: boolean): void;
}

/**
 * @internal Gives a node's messages to its listeners and iterators, and has the addon hand out more
 * exactly while somebody can take them: otherwise they wait in the mailbox, whose bound holds.
 *
 * A message whose listener returned a promise is being handled until that settles. Of such messages
 * there are at most so many at once; messages of one sender are begun in order, whatever the number.
 */
export class Delivery implements IteratorHost {
  readonly #host: DeliveryHost;
  readonly #concurrency: number;
  /** The `message` listeners, until one comes or goes. */
  #listeners: Function[] | undefined;
  readonly #iterators = new Set<MessageIterator>();
  /** Messages whose promises have not settled. */
  #handling = 0;
  /** Whether the addon hands out messages. */
  #receives = false;
  /** Whether somebody wants messages, now or later: then none is dropped. */
  #attended = false;
  /** Messages taken from the addon for which there was nobody any more, or no room yet. */
  #held: NodeMessage[] = [];
  #drainScheduled = false;
  #ended = false;

  constructor(host: DeliveryHost, concurrency: number) {
    this.#host = host;
    this.#concurrency = concurrency;
  }

  /** Messages that were taken from the addon and not given to anybody. */
  get held(): number {
    return this.#held.length;
  }

  /** Messages that the addon may hand out at once. */
  get room(): number {
    const room = Math.min(this.#concurrency - this.#handling, ROOM_MAX);
    return this.#receives ? Math.max(room, 0) : 0;
  }

  /** A message from the addon. */
  deliver(payload: unknown, meta: MessageMetadata): void {
    if (this.#ended) return;
    if (this.#held.length > 0 || !this.#isWanted() || this.#isFull()) {
      // The last listener left within this batch, or is busy, or one came back and the earlier go
      // first.
      this.#held.push({ payload, meta });
      return;
    }
    this.#give(payload, meta);
  }

  #give(payload: unknown, meta: MessageMetadata): void {
    const listeners = (this.#listeners ??= this.#host.listeners());
    let promises: PromiseLike<unknown>[] | undefined;
    for (let at = 0; at < listeners.length; at++) {
      try {
        const done = this.#host.call(listeners[at] as Listener, payload, meta);
        if (isPromise(done)) (promises ??= []).push(done);
      } catch (error) {
        rethrow(error);
      }
    }
    if (promises) this.#handle(promises);
    if (this.#iterators.size === 0) return;
    for (const iterator of this.#iterators) iterator.push({ payload, meta });
  }

  #handle(promises: PromiseLike<unknown>[]): void {
    this.#handling += 1;
    let left = promises.length;
    const settled = () => {
      left -= 1;
      if (left > 0) return;
      this.#handling -= 1;
      this.flow();
    };
    // A rejection stays an unhandled one, as it is in any listener.
    for (const promise of promises) void Promise.resolve(promise).finally(settled);
  }

  #isWanted(): boolean {
    return (this.#listeners ??= this.#host.listeners()).length + this.#iterators.size > 0;
  }

  #isFull(): boolean {
    return this.#handling >= this.#concurrency;
  }

  /** Listeners have come or gone. */
  listenersChanged(): void {
    this.#listeners = undefined;
    this.flow();
  }

  /** Has the addon hand out messages exactly while somebody can take more. */
  flow(): void {
    if (this.#ended) return;
    const attended = this.#isWanted();
    let wanted = attended && !this.#isFull();
    for (const iterator of this.#iterators) wanted &&= iterator.isEmpty;
    if (wanted && this.#held.length > 0) {
      wanted = false;
      if (!this.#drainScheduled) {
        this.#drainScheduled = true;
        // Not at once: listeners that are added together each get all.
        setImmediate(() => this.#drain());
      }
    }
    if (wanted === this.#receives && attended === this.#attended) return;
    this.#receives = wanted;
    this.#attended = attended;
    this.#host.receive(wanted, attended);
  }

  /** Gives out what nobody could take before. */
  #drain(): void {
    this.#drainScheduled = false;
    const held = this.#held;
    this.#held = [];
    let at = 0;
    for (; at < held.length && this.#isWanted() && !this.#isFull() && !this.#ended; at++) {
      const { payload, meta } = held[at] as NodeMessage;
      this.#give(payload, meta);
    }
    if (at < held.length && !this.#ended) this.#held = held.slice(at).concat(this.#held);
    this.flow();
  }

  /** An iterator over the messages from its first step on. */
  iterator(): MessageIterator {
    return new MessageIterator(this);
  }

  join(iterator: MessageIterator): boolean {
    if (this.#ended) return false;
    this.#iterators.add(iterator);
    this.flow();
    return true;
  }

  leave(iterator: MessageIterator, left: NodeMessage[]): void {
    this.#iterators.delete(iterator);
    // Others have got theirs already.
    if (!this.#isWanted() && !this.#ended) this.#held = left.concat(this.#held);
    this.flow();
  }

  emptied(): void {
    this.flow();
  }

  /** The node has ended: nobody is given anything any more but what iterators have already. */
  end(): void {
    this.#ended = true;
    this.#held = [];
    for (const iterator of this.#iterators) iterator.end();
    this.#iterators.clear();
  }
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
