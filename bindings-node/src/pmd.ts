import { Calls, Hold, type Result, weakly } from './calls.js';
import { TypedEmitter } from './emitter.js';
import { DistflowError } from './error.js';
import { INSPECT, inspected } from './inspect.js';
import { type NativePmd, native } from './native.js';
import { type PMDOptions, checkObject, pmdOptions } from './options.js';
import { type NodeInfo } from './types.js';

export type { PMDOptions } from './options.js';
export { MessageType } from './types.js';
export type { Message, NodeInfo, RegisterPayload } from './types.js';

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
export class PMD extends TypedEmitter<PMDEvents> {
  readonly #options: PMDOptions;
  readonly #calls = new Calls(this);
  #native: NativePmd | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #port = 0;
  readonly #hold = new Hold(this);
  /** What has been told of the registry, for {@link PMD.getRegistry}. */
  readonly #registry = new Map<string, NodeInfo>();

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
    const wake = weakly(this, PMD.#take);
    const started = this.#calls.ask<number>((call) => {
      this.#native = new (native().NativePmd)(options, call, wake);
    });
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
    return this.#calls.ask<RegisteredNode[]>((call) => pmd.nodes(call));
  }

  /**
   * The registered nodes, as far as the events have been told; {@link PMD.nodes} asks. The
   * `lastHeartbeat` is the time of the registration.
   */
  getRegistry(): NodeInfo[] {
    return [...this.#registry.values()];
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
    await this.#calls.ask((call) => pmd.stop(call));
    this.#ended();
  }

  #ended(): void {
    this.#native = undefined;
    this.#port = 0;
    this.#registry.clear();
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

  static #take(pmd: PMD): void {
    const native = pmd.#native;
    if (!native) return;
    const taken = JSON.parse(native.take()) as Taken;
    for (const [name, ...args] of taken.e ?? []) {
      const node = args[0] as RegisteredNode;
      if (name === 'peer:join') pmd.#registry.set(node.nodeId, { ...node, lastHeartbeat: Date.now() });
      else if (name === 'peer:leave') pmd.#registry.delete(node.nodeId);
      pmd.tell(name, args);
      // It may also end by itself.
      if (name === 'stopped' && !pmd.#stopping) pmd.#ended();
    }
    pmd.#calls.settle(taken.r ?? []);
    if (taken.more) setImmediate(() => PMD.#take(pmd));
  }

  /** @internal What `console.log` shows. */
  [INSPECT](...args: unknown[]): string {
    return inspected(this, { port: this.#port, state: this.#port ? 'serving' : 'stopped' }, args);
  }

  /** Stops at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
