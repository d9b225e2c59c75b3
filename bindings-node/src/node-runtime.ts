import { EventEmitter } from 'node:events';

import {
  Calls,
  type Result,
  type WaitOptions,
  bounded,
  hold,
  letGo,
  rethrow,
  waitOptions,
} from './calls.js';
import {
  DistflowError,
  type NativeFailure,
  fromFailure,
  fromThrown,
  invalid,
  notStarted,
} from './error.js';
import { stringify } from './frame.js';
import { routeLog } from './log-route.js';
import { MessageIterator, type NodeMessage } from './messages.js';
import { type NativeNode, type NativeSend, native } from './native.js';
import { AWAITED, type NodeRuntimeEvents, type SendFailure } from './node-events.js';
import { type NodeRuntimeOptions, nodeOptions } from './options.js';
import { addLive, processWide, removeLive } from './process-wide.js';
import type { MessageHandler, MessageMetadata, NodeInfo, PeerInfo } from './types.js';

export type { NodeRuntimeEvents, SendFailure } from './node-events.js';

/** Counters of a node, all since its start. */
export interface NodeStats {
  /** Messages accepted by `send`. */
  sent: number;
  /** Messages given to the program. */
  delivered: number;
  /** Messages that found the mailbox full. */
  dropped: number;
  /** Accepted messages that were given up because their peer could not be reached. */
  lostOutbound: number;
  /** Messages of others that were lost with a connection. */
  lostInbound: number;
  /** Messages for another node that arrived here. */
  misdirected: number;
  /** Messages that wait to be taken. */
  waiting: number;
  /** Frames that were refused. */
  badFrames: number;
}

/** Options of {@link NodeRuntime.discover}. */
export interface DiscoverOptions extends WaitOptions {
  /** Only nodes whose alias begins with this. Default all. */
  prefix?: string | undefined;
}

/** Messages of one sender and one millisecond; without a payload, one message that has none. */
type Group = [from: string, timestamp: number, ...payloads: unknown[]];
const FIRST_PAYLOAD = 2;
type EventRow = [name: string, ...args: unknown[]];

interface Taken {
  m?: Group[];
  e?: EventRow[];
  r?: Result[];
  more: boolean;
}

interface Started {
  nodeId: string;
  alias: string | null;
  port: number;
}

// What `send` returns when there is nothing to wait for, as a rule; made once.
const DONE: Promise<void> = Promise.resolve();
const NO_RESULTS: Result[] = [];

type Listener = (...args: any[]) => void;

// Known only here: a program in JavaScript could call the constructor otherwise.
const MAKE = Symbol();

/** The part of a start's options that is about waiting for it; `nodeOptions` checks the rest. */
function startWait(options: NodeRuntimeOptions | null | undefined): WaitOptions | undefined {
  return typeof options === 'object' && options !== null ? { signal: options.signal } : undefined;
}

/**
 * A node: registers with the PMD, finds others by name, exchanges messages with them, and sees
 * them come and go.
 *
 * ```js
 * const node = await NodeRuntime.start({ alias: 'billing' });
 * node.onMessage((message, meta) => node.send(meta.from, { got: message }));
 * await node.send('orders', { hello: 1 });
 * ```
 *
 * It runs on native threads. Like a `MessagePort`, it keeps Node alive while somebody listens for
 * messages, joins or leaves, and while a start, send, discover, shutdown or step of `for await` is under way; an
 * idle one does not. {@link NodeRuntime.ref} and {@link NodeRuntime.unref} say otherwise. When a
 * process has nothing else to do, its nodes are shut down and it ends.
 *
 * What a listener throws becomes an `uncaughtException`; other listeners and messages are not
 * affected.
 */
export class NodeRuntime extends EventEmitter {
  readonly #calls = new Calls();
  /** A message was sent in this turn of the loop: further ones are held, to be written together. */
  #sending = false;
  #holding = false;
  #send: NativeSend | undefined;
  /** The last one. */
  #target: string | undefined;
  readonly #flushLater = () => this.#flush();
  #native: NativeNode | undefined;
  #nodeId = '';
  #alias: string | undefined;
  #port = 0;
  #closing: Promise<void> | undefined;
  #started = false;
  #ended = false;
  /** What `ref` and `unref` said; without a word, a node that is listened to keeps Node alive. */
  #keeps: boolean | undefined;
  #holds = false;
  #closeLog: (() => void) | undefined;

  /** The `message` listeners, until one comes or goes. */
  #listeners: Function[] | undefined;
  readonly #iterators = new Set<MessageIterator>();
  /** Whether the addon hands out messages. */
  #receives = false;
  /** Whether somebody wants messages, now or later: then none is dropped. */
  #attended = false;
  /** Messages taken from the addon for which there was nobody any more. */
  #held: NodeMessage[] = [];
  #drainScheduled = false;
  /** Events that wait until whoever started the node had a chance to listen. */
  #early: EventRow[] | undefined;

  /**
   * Nodes come from {@link NodeRuntime.start} or {@link NodeRuntime.create}; `new` fails with
   * `invalid_argument`.
   */
  protected constructor(key?: unknown) {
    super();
    if (key !== MAKE) throw invalid('call NodeRuntime.start or NodeRuntime.create, without new');
  }

  /**
   * The node of this process. The first call starts it; later ones return the same object and
   * ignore their options. After its `shutdown`, a call starts a new one. Each worker thread would
   * have its own, but only one may run in a process; see {@link NodeRuntime.create}.
   *
   * Errors: `already_running` (`Node already running in this process`), those of
   * {@link NodeRuntime.create}.
   */
  static start(options: NodeRuntimeOptions = {}): Promise<NodeRuntime> {
    const shared = processWide();
    let signal: AbortSignal | undefined;
    try {
      ({ signal } = waitOptions(startWait(options)));
    } catch (error) {
      return Promise.reject(error);
    }
    if (shared.node) return Promise.resolve(shared.node);
    const starting = (shared.starting ??= NodeRuntime.#begin(options));
    starting.waiters += 1;
    return bounded(starting.promise, { signal }, 'the start', () => {
      starting.waiters -= 1;
      if (starting.waiters === 0) starting.giveUp();
    });
  }

  static #begin(options: NodeRuntimeOptions): NonNullable<
    ReturnType<typeof processWide>['starting']
  > {
    const shared = processWide();
    const node = new NodeRuntime(MAKE);
    const former = shared.ending;
    const run = async () => {
      // It may still be about to end.
      await former?.catch(() => {});
      if (starting.waiters === 0) throw new DistflowError('closed', 'the start was given up');
      await node.#open(options, true);
      shared.node = node;
      return node;
    };
    const starting = {
      promise: undefined as unknown as Promise<NodeRuntime>,
      waiters: 0,
      giveUp: () => {
        if (shared.starting !== starting) return;
        shared.starting = undefined;
        const ended = starting.promise.then(
          (started) => started.shutdown(),
          () => {},
        );
        shared.ending = ended;
        void ended.finally(() => {
          if (shared.ending === ended) shared.ending = undefined;
        });
        node.abandon();
      },
    };
    const begun = Promise.resolve().then(run);
    // Also while it waits for the end of a former one.
    hold();
    starting.promise = begun.finally(() => {
      letGo();
      if (shared.starting === starting) shared.starting = undefined;
    });
    return starting;
  }

  /**
   * Starts a node of its own: several may run in one process, and in worker threads.
   *
   * Errors: `invalid_argument`, `insecure`, `alias_in_use` (`Alias 'x' already in use`),
   * `node_id_in_use`, `pmd_unavailable`, `not_pmd`, `pmd_launch_failed`, `address_in_use`,
   * `timeout`, `aborted`.
   */
  static async create(options: NodeRuntimeOptions = {}): Promise<NodeRuntime> {
    const { signal } = waitOptions(startWait(options));
    const node = new NodeRuntime(MAKE);
    return bounded(node.#open(options, false), { signal }, 'the start', () => node.abandon());
  }

  async #open(options: NodeRuntimeOptions, exclusive: boolean): Promise<this> {
    const text = nodeOptions(options, exclusive);
    const addon = native();
    this.#closeLog = options.logger ? routeLog(options.logger) : undefined;
    const call = this.#calls.next();
    const starting = this.#calls.wait<Started>(call);
    try {
      this.#native = new addon.NativeNode(text, call, () => this.#take());
    } catch (error) {
      this.#calls.failAll(() => fromThrown(error));
    }
    try {
      const { nodeId, alias, port } = await starting;
      this.#nodeId = nodeId;
      this.#alias = alias ?? undefined;
      this.#port = port;
    } catch (error) {
      this.#finish();
      throw error;
    }
    addLive(this);
    return this;
  }

  /**
   * Sends a message to an alias or node id. Ends when it is in the queue of an established
   * connection; that is no acknowledgement. Messages to one node keep their order.
   *
   * The message is anything that JSON holds; what it can't (a BigInt, a cycle) is an error of code
   * `invalid_json`. `undefined` arrives as `undefined`.
   *
   * Errors: `not_started` (`Node not started`), `resolve_failed` (`Failed to resolve target: x`),
   * `connection_failed`, `too_large`, `invalid_json`, `busy`, `aborted`, `timeout`. After the last
   * two the message may still be sent.
   */
  send(target: string, message: any, options?: WaitOptions): Promise<void> {
    const node = this.#native;
    if (!node || this.#closing) return Promise.reject(notStarted());
    const calls = this.#calls;
    let call: number;
    try {
      if (typeof target !== 'string') throw invalid('the target must be a string');
      if (options) options = waitOptions(options);
      const text = stringify(message);
      call = calls.next();
      if (this.#sending) {
        this.#holding = true;
      } else {
        this.#sending = true;
        process.nextTick(this.#flushLater);
      }
      const isSame = target === this.#target;
      this.#target = target;
      const send = (this.#send ??= node.sender());
      const held = this.#holding;
      if ((isSame ? send(text, call, held) : send(text, call, held, target)) === 0) return DONE;
    } catch (error) {
      return Promise.reject(error instanceof DistflowError ? error : fromThrown(error));
    }
    const sent = calls.wait<void>(call).then(() => {});
    return options ? bounded(sent, options, 'the send') : sent;
  }

  #flush(): void {
    const holding = this.#holding;
    this.#sending = this.#holding = false;
    if (holding) this.#native?.flush();
  }

  /** Adds a listener of the event `message`; any number may be added. */
  onMessage(handler: MessageHandler): void {
    this.on('message', handler);
  }

  /**
   * Asks the PMD for everyone else. Errors: `not_started` (`Node not started`),
   * `pmd_unavailable`, `timeout`, `aborted`.
   */
  async discover(options: DiscoverOptions = {}): Promise<PeerInfo[]> {
    const node = this.#native;
    if (!node || this.#closing) throw notStarted();
    const wait = waitOptions(options);
    const prefix = options?.prefix;
    if (prefix !== undefined && typeof prefix !== 'string') {
      throw invalid('prefix must be a string');
    }
    const call = this.#calls.next();
    const found = this.#calls.wait<NodeInfo[]>(call);
    node.discover(prefix, call);
    const peers = await bounded(found, wait, 'the discovery');
    return peers.map(({ alias, nodeId, host, port, meta }) => ({
      ...(alias === undefined ? {} : { alias }),
      nodeId,
      host,
      port,
      ...(meta === undefined ? {} : { meta }),
    }));
  }

  /** Everyone else known at this moment, in order of node id; the PMD is not asked. */
  peers(): NodeInfo[] {
    return this.#native ? (JSON.parse(this.#native.peers()) as NodeInfo[]) : [];
  }

  /** This node's id. */
  getNodeId(): string {
    return this.#nodeId;
  }

  /** This node's alias, if it has one. */
  getAlias(): string | undefined {
    return this.#alias;
  }

  /** The port this node listens on for messages. */
  getPort(): number {
    return this.#port;
  }

  /** Whether it is registered with a PMD at this moment. */
  isRegistered(): boolean {
    return this.#native?.isRegistered() ?? false;
  }

  /** The counters; all 0 after the end. */
  stats(): NodeStats {
    const counts = this.#native ? (JSON.parse(this.#native.stats()) as Record<string, number>) : {};
    const held = this.#held.length;
    return {
      sent: counts['sent'] ?? 0,
      delivered: Math.max((counts['delivered'] ?? 0) - held, 0),
      dropped: counts['dropped'] ?? 0,
      lostOutbound: counts['lost_outbound'] ?? 0,
      lostInbound: counts['lost_inbound'] ?? 0,
      misdirected: counts['misdirected'] ?? 0,
      waiting: (counts['waiting'] ?? 0) + held,
      badFrames: counts['bad_frames'] ?? 0,
    };
  }

  /** Keeps Node alive while the node runs, whether or not anybody listens to it. */
  ref(): this {
    this.#keeps = true;
    this.#updateHold();
    return this;
  }

  /** Lets Node end although the node runs, whether or not anybody listens to it. */
  unref(): this {
    this.#keeps = false;
    this.#updateHold();
    return this;
  }

  #updateHold(): void {
    const wanted = !this.#ended && (this.#keeps ?? this.#isListenedTo());
    if (wanted === this.#holds) return;
    this.#holds = wanted;
    if (wanted) hold();
    else letGo();
  }

  #isListenedTo(): boolean {
    return AWAITED.some((event) => this.listenerCount(event) > 0);
  }

  /**
   * Flushes what was sent, unregisters and closes every connection; about 3 s at most when a peer
   * does not respond. Afterwards nothing is called any more, what still waits fails with `closed`,
   * and messages that nobody took are gone. Safe to call twice.
   */
  shutdown(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return (this.#closing ??= this.#shutdown());
  }

  async #shutdown(): Promise<void> {
    const shared = processWide();
    const node = this.#native;
    if (!node) return this.#finish();
    const call = this.#calls.next();
    const ending = this.#calls.wait<void>(call);
    if (shared.node === this) {
      shared.node = undefined;
      const ended = ending.then(
        () => {},
        () => {},
      );
      shared.ending = ended;
      void ended.then(() => {
        if (shared.ending === ended) shared.ending = undefined;
      });
    }
    node.shutdown(call);
    try {
      await ending;
    } finally {
      this.#finish();
    }
  }

  /** The end, however it came. */
  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.abandon();
    this.#native = this.#send = undefined;
    this.#updateHold();
    removeLive(this);
    this.#held = [];
    for (const iterator of this.#iterators) iterator.end();
    this.#iterators.clear();
    this.#calls.failAll(() => new DistflowError('closed', 'the node was shut down'));
    this.#closeLog?.();
  }

  /** @internal Ends the native half without waiting and without good-byes. */
  abandon(): void {
    this.#native?.release();
  }

  /** Shuts down at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /**
   * The messages from the first step on, until the node is shut down. Several iterators and `message`
   * listeners each get all; while one iterator has unread messages, further ones wait in the
   * mailbox. A pending step keeps Node alive.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<NodeMessage> {
    return new MessageIterator({
      join: (iterator) => {
        if (this.#ended) return false;
        this.#iterators.add(iterator);
        this.#flow();
        return true;
      },
      leave: (iterator, left) => {
        this.#iterators.delete(iterator);
        // Others have got theirs already.
        if (!this.#isWanted() && !this.#ended) this.#held = left.concat(this.#held);
        this.#flow();
      },
      emptied: () => this.#flow(),
    });
  }

  // -------------------------------------------------------------------- what comes from the addon

  #take(): void {
    const node = this.#native;
    if (!node || this.#ended) return;
    const { m, e, r = NO_RESULTS, more } = JSON.parse(node.take()) as Taken;
    if (!this.#started && r.length > 0) {
      // The result of the start; listeners come after it.
      this.#started = true;
      this.#early = e ?? [];
      setImmediate(() => this.#emitEarly());
      this.#calls.settle(r);
      return;
    }
    // Whoever started the node has had the chance to listen.
    this.#emitEarly();
    if (e) for (const row of e) this.#emitEvent(row);
    if (m) this.#dispatch(m);
    this.#calls.settle(r);
    if (more) setImmediate(() => this.#take());
  }

  #emitEarly(): void {
    const early = this.#early;
    if (!early) return;
    this.#early = undefined;
    for (const row of early) this.#emitEvent(row);
  }

  #emitEvent([name, ...args]: EventRow): void {
    if (this.#ended) return;
    if (name === 'pmd:lost' || name === 'registration:refused') {
      args = [fromFailure(args[0] as NativeFailure)];
    } else if (name === 'send:failed') {
      const [to, messages, error] = args as [string, number, NativeFailure];
      args = [{ to, messages, error: fromFailure(error) } satisfies SendFailure];
    }
    this.#call(this.rawListeners(name), args);
  }

  #call(listeners: Function[], args: unknown[]): void {
    for (const listener of listeners) {
      try {
        Reflect.apply(listener, this, args);
      } catch (error) {
        rethrow(error);
      }
    }
  }

  #dispatch(groups: Group[]): void {
    const to = this.#nodeId;
    for (const group of groups) {
      const [from, timestamp] = group;
      // One that has no payload is a message all the same.
      const end = Math.max(group.length, FIRST_PAYLOAD + 1);
      for (let at = FIRST_PAYLOAD; at < end; at++) {
        this.#deliver(group[at], { from, to, timestamp });
      }
    }
    this.#flow();
  }

  #deliver(payload: unknown, meta: MessageMetadata): void {
    if (this.#ended) return;
    if (this.#held.length > 0 || !this.#isWanted()) {
      // The last listener left within this batch, or one came back and the earlier go first.
      this.#held.push({ payload, meta });
      return;
    }
    this.#give(payload, meta);
  }

  #give(payload: unknown, meta: MessageMetadata): void {
    const listeners = (this.#listeners ??= this.rawListeners('message'));
    for (let at = 0; at < listeners.length; at++) {
      try {
        (listeners[at] as Listener).call(this, payload, meta);
      } catch (error) {
        rethrow(error);
      }
    }
    if (this.#iterators.size === 0) return;
    for (const iterator of this.#iterators) iterator.push({ payload, meta });
  }

  #isWanted(): boolean {
    return (this.#listeners ??= this.rawListeners('message')).length + this.#iterators.size > 0;
  }

  /** Has the addon hand out messages exactly while somebody wants more. */
  #flow(): void {
    if (!this.#native || this.#ended) return;
    const attended = this.#isWanted();
    let wanted = attended;
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
    this.#native.receive(wanted, attended);
  }

  /** Gives out what nobody wanted before. */
  #drain(): void {
    this.#drainScheduled = false;
    const held = this.#held;
    this.#held = [];
    let at = 0;
    for (; at < held.length && this.#isWanted() && !this.#ended; at++) {
      const { payload, meta } = held[at] as NodeMessage;
      this.#give(payload, meta);
    }
    if (at < held.length && !this.#ended) this.#held = held.slice(at).concat(this.#held);
    this.#flow();
  }

  #listenersChanged(event: string | symbol | undefined): this {
    this.#updateHold();
    if (event === 'message' || event === undefined) {
      this.#listeners = undefined;
      this.#flow();
    }
    return this;
  }

  // ---------------------------------------------------------------------------- EventEmitter

  override on<E extends keyof NodeRuntimeEvents>(
    event: E,
    listener: (...args: NodeRuntimeEvents[E]) => void,
  ): this;
  override on(event: string | symbol, listener: Listener): this;
  override on(event: string | symbol, listener: Listener): this {
    super.on(event, listener);
    return this.#listenersChanged(event);
  }

  override addListener<E extends keyof NodeRuntimeEvents>(
    event: E,
    listener: (...args: NodeRuntimeEvents[E]) => void,
  ): this;
  override addListener(event: string | symbol, listener: Listener): this;
  override addListener(event: string | symbol, listener: Listener): this {
    return this.on(event, listener);
  }

  override once<E extends keyof NodeRuntimeEvents>(
    event: E,
    listener: (...args: NodeRuntimeEvents[E]) => void,
  ): this;
  override once(event: string | symbol, listener: Listener): this;
  override once(event: string | symbol, listener: Listener): this {
    super.once(event, listener);
    return this.#listenersChanged(event);
  }

  override prependListener<E extends keyof NodeRuntimeEvents>(
    event: E,
    listener: (...args: NodeRuntimeEvents[E]) => void,
  ): this;
  override prependListener(event: string | symbol, listener: Listener): this;
  override prependListener(event: string | symbol, listener: Listener): this {
    super.prependListener(event, listener);
    return this.#listenersChanged(event);
  }

  override prependOnceListener<E extends keyof NodeRuntimeEvents>(
    event: E,
    listener: (...args: NodeRuntimeEvents[E]) => void,
  ): this;
  override prependOnceListener(event: string | symbol, listener: Listener): this;
  override prependOnceListener(event: string | symbol, listener: Listener): this {
    super.prependOnceListener(event, listener);
    return this.#listenersChanged(event);
  }

  override removeListener<E extends keyof NodeRuntimeEvents>(
    event: E,
    listener: (...args: NodeRuntimeEvents[E]) => void,
  ): this;
  override removeListener(event: string | symbol, listener: Listener): this;
  override removeListener(event: string | symbol, listener: Listener): this {
    super.removeListener(event, listener);
    return this.#listenersChanged(event);
  }

  override off<E extends keyof NodeRuntimeEvents>(
    event: E,
    listener: (...args: NodeRuntimeEvents[E]) => void,
  ): this;
  override off(event: string | symbol, listener: Listener): this;
  override off(event: string | symbol, listener: Listener): this {
    return this.removeListener(event, listener);
  }

  override removeAllListeners(event?: string | symbol): this {
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    return this.#listenersChanged(event);
  }
}
