import { EventEmitter } from 'node:events';

import { Calls, Hold, type Result, rethrow } from './calls.js';
import { DistflowError, fromThrown } from './error.js';
import { type NativePmd, native } from './native.js';
import { type PMDOptions, checkObject, pmdOptions } from './options.js';
import type { NodeInfo } from './types.js';

export type { PMDOptions } from './options.js';
export type { NodeInfo } from './types.js';

/** A node as an embedded PMD has it. */
export type RegisteredNode = Omit<NodeInfo, 'lastHeartbeat'>;

/** Events of a {@link PMD} and their arguments. */
export interface PMDEvents {
  /** A node registered. */
  'peer:join': [node: RegisteredNode];
  /** A node left, and why: `unregistered`, `closed` (its connection), `timeout` or `replaced` */
  'peer:leave': [node: RegisteredNode, reason: string];
  /** It serves no longer: `closed` by its owner, or because a client asked or nobody was left. */
  stopped: [reason: string];
}

interface Taken {
  e?: [name: keyof PMDEvents, ...args: unknown[]][];
  r?: Result[];
  more: boolean;
}

/**
 * A PMD inside this process, on threads of its own. It never ends the process.
 *
 * Like any server, it keeps Node alive while it serves; {@link PMD.unref} says otherwise.
 */
export class PMD extends EventEmitter {
  readonly #options: PMDOptions;
  readonly #calls = new Calls();
  #native: NativePmd | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #port = 0;
  readonly #hold = new Hold();

  constructor(options: PMDOptions = {}) {
    super();
    checkObject(options);
    this.#options = { ...options };
  }

  /**
   * Starts to serve, unless it does. Errors: `invalid_argument`, `address_in_use`, `insecure`,
   * `io`.
   */
  async start(): Promise<void> {
    await this.#stopping;
    if (this.#port !== 0) return;
    await (this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    }));
  }

  async #start(): Promise<void> {
    const options = pmdOptions(this.#options);
    const call = this.#calls.next();
    const started = this.#calls.wait<number>(call);
    try {
      this.#native = new (native().NativePmd)(options, call, () => this.#take());
    } catch (error) {
      this.#calls.failAll(() => fromThrown(error));
    }
    try {
      this.#port = await started;
      this.#hold.serve(this.#port !== 0);
    } catch (error) {
      this.#native = undefined;
      throw error;
    }
  }

  /** The port it listens on; 0 when it does not. */
  get port(): number {
    return this.#port;
  }

  /** The registered nodes in order of registration. Error: `closed` when it does not serve. */
  async nodes(): Promise<RegisteredNode[]> {
    const pmd = this.#native;
    if (!pmd || this.#port === 0) {
      throw new DistflowError('closed', 'the PMD is not running');
    }
    const call = this.#calls.next();
    const nodes = this.#calls.wait<RegisteredNode[]>(call);
    pmd.nodes(call);
    return nodes;
  }

  /** Closes every connection and stops. Safe to call twice; it can be started again. */
  async stop(): Promise<void> {
    await this.#starting?.catch(() => {});
    if (!this.#native || this.#port === 0) return this.#stopping;
    await (this.#stopping ??= this.#stop(this.#native).finally(() => {
      this.#stopping = undefined;
    }));
  }

  async #stop(pmd: NativePmd): Promise<void> {
    const call = this.#calls.next();
    const stopped = this.#calls.wait(call);
    pmd.stop(call);
    await stopped;
    this.#ended();
  }

  #ended(): void {
    this.#native = undefined;
    this.#port = 0;
    this.#hold.serve(this.#port !== 0);
    this.#calls.failAll(() => new DistflowError('closed', 'the PMD has ended'));
  }

  /** Keeps Node alive while it serves, as it does from the beginning. */
  ref(): this {
    this.#hold.reference(true);
    return this;
  }

  /** Lets Node end although it serves. */
  unref(): this {
    this.#hold.reference(false);
    return this;
  }

  #take(): void {
    const pmd = this.#native;
    if (!pmd) return;
    const taken = JSON.parse(pmd.take()) as Taken;
    for (const [name, ...args] of taken.e ?? []) {
      for (const listener of this.rawListeners(name)) {
        try {
          Reflect.apply(listener, this, args);
        } catch (error) {
          rethrow(error);
        }
      }
      // It may also end by itself.
      if (name === 'stopped' && !this.#stopping) this.#ended();
    }
    this.#calls.settle(taken.r ?? []);
    if (taken.more) setImmediate(() => this.#take());
  }

  /** Stops at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  override on<E extends keyof PMDEvents>(event: E, listener: (...args: PMDEvents[E]) => void): this;
  override on(event: string | symbol, listener: (...args: any[]) => void): this;
  override on(event: string | symbol, listener: (...args: any[]) => void): this {
    return super.on(event, listener);
  }

  override once<E extends keyof PMDEvents>(
    event: E,
    listener: (...args: PMDEvents[E]) => void,
  ): this;
  override once(event: string | symbol, listener: (...args: any[]) => void): this;
  override once(event: string | symbol, listener: (...args: any[]) => void): this {
    return super.once(event, listener);
  }
}
