import {
  Calls,
  type Result,
  type WaitOptions,
  bounded,
  hold,
  letGo,
  traced,
  waitOptions,
  weakly,
} from './calls.js';
import { Delivery, type DeliveryHost } from './delivery.js';
import { TypedEmitter } from './emitter.js';
import {
  DistflowError,
  type NativeFailure,
  fromFailure,
  fromThrown,
  invalid,
  notRunning,
} from './error.js';
import { stringify } from './frame.js';
import { INSPECT, inspected } from './inspect.js';
import { routeLog } from './log-route.js';
import type { NodeMessage } from './messages.js';
import { type NativeNode, type NativeSend, native } from './native.js';
import { AWAITED, type NodeRuntimeEvents, type SendFailure } from './node-events.js';
import { type NodeRuntimeOptions, checkKnown, concurrency, nodeOptions } from './options.js';
import { type Starting, addLive, processWide, removeLive } from './process-wide.js';
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
type Group = [from: string, alias: string, timestamp: number, ...payloads: unknown[]];
const FIRST_PAYLOAD = 3;
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
const SEND_OPTIONS = ['signal', 'timeoutMs'];
const DISCOVER_OPTIONS = ['prefix', ...SEND_OPTIONS];

// Known only here: a program in JavaScript could call the constructor otherwise.
const MAKE = Symbol();

/** A class of nodes, for methods that give instances of the class they are called on. */
interface NodeClass<T> {
  readonly prototype: T;
}

function make<T extends NodeRuntime>(kind: NodeClass<T>): T {
  return new (kind as unknown as new (key: unknown) => T)(MAKE);
}

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
export class NodeRuntime extends TypedEmitter<NodeRuntimeEvents> {
  readonly #calls = new Calls(this);
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

  #delivery: Delivery | undefined;
  /** The counters at the end. */
  #counts: Record<string, number> = {};
  /** Events that wait until whoever started the node had a chance to listen. */
  #early: EventRow[] | undefined;

  /**
   * Nodes come from {@link NodeRuntime.start} or {@link NodeRuntime.create}; `new NodeRuntime` fails
   * with `invalid_argument`. On a subclass, the two give instances of it. Its constructor may also be
   * called by a function of its own, which then starts the node by {@link NodeRuntime.initialize}.
   */
  protected constructor(key?: unknown) {
    super();
    if (key !== MAKE && new.target === NodeRuntime) {
      throw invalid('call NodeRuntime.start or NodeRuntime.create, without new');
    }
  }

  /**
   * The node of this process. The first call starts it; later ones return the same object and
   * ignore their options, with a warning when those ask for another name. After its `shutdown`, a call
   * starts a new one. Each worker thread would have its own, but only one may run in a process; see
   * {@link NodeRuntime.create}.
   *
   * Errors: `already_running` (`Node already running in this process`), those of
   * {@link NodeRuntime.create}.
   */
  static async start<T extends NodeRuntime = NodeRuntime>(
    this: NodeClass<T>,
    options: NodeRuntimeOptions = {},
  ): Promise<T> {
    const shared = processWide();
    // A function of its own, as in the original, it still makes nodes.
    const kind: NodeClass<T> = this ?? NodeRuntime;
    const { signal } = waitOptions(startWait(options));
    if (shared.node) return NodeRuntime.#shared(kind, shared.node, options);
    const isFirst = !shared.starting;
    const starting = (shared.starting ??= NodeRuntime.#begin(make(kind), options));
    starting.waiters += 1;
    const wait = traced(starting.promise, NodeRuntime.start);
    const node = await bounded(wait, { signal }, 'the start', () => {
      starting.waiters -= 1;
      if (starting.waiters === 0) starting.giveUp();
    });
    return NodeRuntime.#shared(kind, node, isFirst ? {} : options);
  }

  /** The node that is there, for a caller who may have wanted another. */
  static #shared<T extends NodeRuntime>(
    kind: NodeClass<T>,
    node: NodeRuntime,
    options: NodeRuntimeOptions,
  ): T {
    // Another copy of this package has another class; that node is as good.
    const isAnother = kind !== (NodeRuntime as NodeClass<NodeRuntime>);
    if (isAnother && !(node instanceof (kind as unknown as new () => T))) {
      const text = 'A NodeRuntime of another class is already running in this process';
      throw new DistflowError('already_running', text);
    }
    for (const [name, is] of [
      ['alias', node.getAlias()],
      ['nodeId', node.getNodeId()],
    ] as const) {
      const wanted = options?.[name];
      if (wanted === undefined || wanted === null || wanted === is) continue;
      process.emitWarning(
        `start({ ${name}: '${wanted}' }) gives the node of this process, whose ${name} is ` +
          `${is === undefined ? 'not set' : `'${is}'`}; NodeRuntime.create makes a node of its own`,
        { type: 'DistflowWarning', code: 'DISTFLOW_SAME_NODE' },
      );
    }
    return node as T;
  }

  static #begin(node: NodeRuntime, options: NodeRuntimeOptions): Starting {
    const shared = processWide();
    const former = shared.ending;
    const run = async () => {
      // It may still be about to end.
      await former?.catch(() => {});
      if (starting.waiters === 0) throw new DistflowError('closed', 'the start was given up');
      await node.#open(options, true);
      shared.node = node;
      return node;
    };
    const starting: Starting = {
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
  static async create<T extends NodeRuntime = NodeRuntime>(
    this: NodeClass<T>,
    options: NodeRuntimeOptions = {},
  ): Promise<T> {
    const { signal } = waitOptions(startWait(options));
    const node = make<T>(this ?? NodeRuntime);
    return bounded(node.#open(options, false), { signal }, 'the start', () => node.abandon());
  }

  /**
   * For subclasses with a way of their own to be made: starts this node as
   * {@link NodeRuntime.create} does. Errors: as there; `already_running` for the second call.
   */
  protected async initialize(options: NodeRuntimeOptions = {}): Promise<void> {
    if (this.#native || this.#ended) {
      throw new DistflowError('already_running', 'this node was started already');
    }
    const { signal } = waitOptions(startWait(options));
    await bounded(this.#open(options, false), { signal }, 'the start', () => this.abandon());
  }

  async #open(options: NodeRuntimeOptions, exclusive: boolean): Promise<this> {
    const text = nodeOptions(options, exclusive);
    const addon = native();
    this.#delivery = new Delivery(this.#deliveryHost(), concurrency(options));
    this.#closeLog = options.logger ? routeLog(options.logger) : undefined;
    const wake = weakly(this, NodeRuntime.#take);
    const starting = this.#calls.ask<Started>((call) => {
      this.#native = new addon.NativeNode(text, call, wake);
    });
    this.#updateHold();
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
   * Errors: `closed` (`Node not started`), `resolve_failed` (`Failed to resolve target: x`),
   * `connection_failed`, `too_large`, `invalid_json`, `busy`, `aborted`, `timeout`. After the last
   * two the message may still be sent.
   */
  send(target: string, message: any, options?: WaitOptions): Promise<void> {
    const node = this.#native;
    if (!node || this.#closing) return Promise.reject(notRunning(!!this.#closing));
    const calls = this.#calls;
    let call: number;
    try {
      if (typeof target !== 'string') throw invalid('the target must be a string');
      if (options) {
        checkKnown(options, SEND_OPTIONS);
        options = waitOptions(options);
      }
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
    const sent = calls.wait<void>(call);
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
   * Asks the PMD for everyone else. Errors: `closed` (`Node not started`),
   * `pmd_unavailable`, `timeout`, `aborted`.
   */
  async discover(options: DiscoverOptions = {}): Promise<PeerInfo[]> {
    const node = this.#native;
    if (!node || this.#closing) throw notRunning(!!this.#closing);
    const wait = waitOptions(options);
    checkKnown(options ?? {}, DISCOVER_OPTIONS);
    const prefix = options?.prefix;
    if (prefix !== undefined && typeof prefix !== 'string') {
      throw invalid('prefix must be a string');
    }
    const found = this.#calls.ask<NodeInfo[]>((call) => node.discover(prefix, call));
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

  /** The counters; after the end, as they were then. */
  stats(): NodeStats {
    const counts = this.#count();
    const held = this.#delivery?.held ?? 0;
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

  #count(): Record<string, number> {
    if (!this.#native) return this.#counts;
    return JSON.parse(this.#native.stats()) as Record<string, number>;
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
    const runs = this.#native !== undefined && !this.#ended;
    const wanted = runs && (this.#keeps ?? this.#isListenedTo());
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
    const ending = this.#calls.ask<void>((call) => node.shutdown(call));
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
    this.#counts = this.#count();
    this.abandon();
    this.#native = this.#send = undefined;
    this.#updateHold();
    removeLive(this);
    this.#delivery?.end();
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
    if (!this.#delivery) throw notRunning(!!this.#closing);
    return this.#delivery.iterator();
  }

  /** @internal What `console.log` shows. */
  [INSPECT](...args: unknown[]): string {
    const state = this.#ended ? 'closed' : this.isRegistered() ? 'registered' : 'not registered';
    const { sent, delivered, dropped, waiting } = this.stats();
    const stats = { sent, delivered, dropped, waiting };
    const of = { alias: this.#alias, nodeId: this.#nodeId, port: this.#port, state, stats };
    return inspected(this, of, args);
  }

  // -------------------------------------------------------------------- what comes from the addon

  static #take(runtime: NodeRuntime): void {
    const node = runtime.#native;
    const delivery = runtime.#delivery;
    if (!node || !delivery || runtime.#ended) return;
    const { m, e, r = NO_RESULTS, more } = JSON.parse(node.take(delivery.room)) as Taken;
    if (!runtime.#started && r.length > 0) {
      // The result of the start; listeners come after it.
      runtime.#started = true;
      runtime.#early = e ?? [];
      setImmediate(() => runtime.#emitEarly());
      runtime.#calls.settle(r);
      return;
    }
    // Whoever started the node has had the chance to listen.
    runtime.#emitEarly();
    if (e) for (const row of e) runtime.#emitEvent(row);
    if (m) runtime.#dispatch(delivery, m);
    runtime.#calls.settle(r);
    if (more) setImmediate(() => NodeRuntime.#take(runtime));
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
    this.tell(name, args);
  }

  #dispatch(delivery: Delivery, groups: Group[]): void {
    const to = this.#nodeId;
    for (const group of groups) {
      const [from, alias, timestamp] = group;
      // One that has no payload is a message all the same.
      const end = Math.max(group.length, FIRST_PAYLOAD + 1);
      for (let at = FIRST_PAYLOAD; at < end; at++) {
        const meta: MessageMetadata = { from, to, timestamp };
        if (alias) meta.alias = alias;
        delivery.deliver(group[at], meta);
      }
    }
    delivery.flow();
  }

  #deliveryHost(): DeliveryHost {
    return {
      listeners: () => this.rawListeners('message'),
      call: (listener, payload, meta) => listener.call(this, payload, meta),
      receive: (wanted, attended) => this.#native?.receive(wanted, attended),
    };
  }

  /** @internal */
  protected override listenersChanged(event: string | symbol | undefined): void {
    this.#updateHold();
    if (event === 'message' || event === undefined) this.#delivery?.listenersChanged();
  }
}
