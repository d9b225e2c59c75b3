import type { Socket } from 'node:net';

import { TypedEmitter } from './emitter.js';
import { DistflowError, fromPmd, fromSocket } from './error.js';
import { FrameReader, PMD_ANSWER_BYTES_MAX, PMD_FRAME_BYTES_MAX, dial, encodeFrame } from './frame.js';
import { INSPECT, inspected } from './inspect.js';
import { type Message, MessageType, type NodeInfo } from './types.js';

export { MessageType } from './types.js';
export type { Message, NodeInfo, RegisterPayload } from './types.js';

const PORT_DEFAULT = 4369;
const REQUEST_TIMEOUT_MS = 5000;

/** What a watching client hears of: a node came, or a node went. */
export type PeerEvent = 'peer:join' | 'peer:leave';

/** Events of a {@link PMDClient} and their arguments. */
export interface PMDClientEvents {
  /** A node registered; after {@link PMDClient.watch}. */
  'peer:join': [peer: NodeInfo];
  /** A node left; after {@link PMDClient.watch}. */
  'peer:leave': [peer: NodeInfo];
  /** The connection was lost; not after {@link PMDClient.disconnect}. */
  disconnect: [];
  /** What went wrong with it, before that. */
  error: [error: DistflowError];
}

interface Pending {
  resolve(payload: any): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/**
 * A client of a PMD: one connection, over which requests may be under way at once.
 *
 * Events: `peer:join` and `peer:leave` (a {@link NodeInfo}) after {@link PMDClient.watch};
 * `disconnect` when the connection was lost, but not after {@link PMDClient.disconnect}; `error`
 * (a {@link DistflowError}) before it, if it has a listener.
 *
 * Every request fails with `Not connected to PMD` without a connection, or when it is lost, with
 * `Request timeout` after 5 s, and with the PMD's own text when the PMD refuses it.
 */
export class PMDClient extends TypedEmitter<PMDClientEvents> {
  readonly #host: string;
  readonly #port: number;
  readonly #pending = new Map<string, Pending>();
  #socket: Socket | undefined;
  #connecting: Promise<void> | undefined;
  #requests = 0;

  constructor(host = 'localhost', port = PORT_DEFAULT) {
    super();
    this.#host = host;
    this.#port = port;
  }

  /** Connects, unless it is connected. Errors: `connection_failed` and others of the socket. */
  connect(): Promise<void> {
    if (this.#socket) return Promise.resolve();
    return (this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    }));
  }

  #connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = dial(this.#host, this.#port);
      socket.setTimeout(REQUEST_TIMEOUT_MS, () => {
        socket.destroy(Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT' }));
      });
      const failed = (error: Error) => reject(fromSocket(error));
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        socket.setTimeout(0);
        this.#attach(socket);
        resolve();
      });
    });
  }

  #attach(socket: Socket): void {
    this.#socket = socket;
    const reader = new FrameReader(PMD_ANSWER_BYTES_MAX);
    const report = (error: DistflowError) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
    };
    socket.on('data', (piece: Buffer) => {
      try {
        for (const text of reader.push(piece)) this.#receive(text);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', (error) => {
      report(error instanceof DistflowError ? error : fromSocket(error));
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#failPending();
      this.emit('disconnect');
    });
  }

  #failPending(): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of pending) {
      clearTimeout(timer);
      reject(notConnected());
    }
  }

  #receive(text: string): void {
    let message: Message;
    try {
      message = JSON.parse(text) as Message;
    } catch (error) {
      console.error('Failed to parse message:', error);
      return;
    }
    if (message === null || typeof message !== 'object') return;
    const payload = message.payload;
    if (message.type === MessageType.EVENT) {
      const event = payload?.event as string | undefined;
      // Unknown ones are ignored.
      if (event !== 'peer:join' && event !== 'peer:leave') return;
      // What a listener throws must not end the connection.
      queueMicrotask(() => this.emit(event, payload.peer as NodeInfo));
      return;
    }
    const pending = this.#pending.get(message.requestId ?? '');
    if (message.type !== MessageType.RESPONSE || !pending) return;
    this.#pending.delete(message.requestId as string);
    clearTimeout(pending.timer);
    if (typeof payload?.error === 'string') pending.reject(fromPmd(payload.error));
    else pending.resolve(payload ?? {});
  }

  #request(type: MessageType, payload: object): Promise<any> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket;
      if (!socket) return reject(notConnected());
      const requestId = `req_${++this.#requests}`;
      const frame = encodeFrame({ type, payload, requestId }, PMD_FRAME_BYTES_MAX);
      const timer = setTimeout(() => {
        this.#pending.delete(requestId);
        reject(new DistflowError('timeout', 'Request timeout'));
      }, REQUEST_TIMEOUT_MS);
      this.#pending.set(requestId, { resolve, reject, timer });
      socket.write(frame);
    });
  }

  /** Registers a node. Errors: `alias_in_use`, `node_id_in_use`, `refused`. */
  async register(
    nodeId: string,
    alias: string | undefined,
    host: string,
    port: number,
  ): Promise<void> {
    await this.#request(MessageType.REGISTER, { nodeId, alias, host, port });
  }

  /** Ends a registration. Error: `node_not_found`. */
  async unregister(nodeId: string): Promise<void> {
    await this.#request(MessageType.UNREGISTER, { nodeId });
  }

  /** Finds a node by alias or id. Error: `node_not_found`. */
  async resolve(alias: string): Promise<NodeInfo> {
    const { node } = await this.#request(MessageType.RESOLVE, { alias });
    if (!node) throw fromPmd('Node not found');
    return node as NodeInfo;
  }

  /** All registered nodes, in order of registration. */
  async list(): Promise<NodeInfo[]> {
    const { nodes } = await this.#request(MessageType.LIST, {});
    return (nodes ?? []) as NodeInfo[];
  }

  /** Refreshes a registration. Error: `node_not_found`. */
  async heartbeat(nodeId: string): Promise<void> {
    await this.#request(MessageType.HEARTBEAT, { nodeId });
  }

  /** Asks for events from now on; there is no way back but {@link PMDClient.disconnect}. */
  async watch(): Promise<void> {
    await this.#request(MessageType.WATCH, {});
  }

  /** Adds a listener for joins or leaves; the same as `on`. */
  onPeerEvent(event: PeerEvent, handler: (peer: NodeInfo) => void): void {
    this.on(event, handler);
  }

  /** Closes the connection at once. */
  disconnect(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
    this.#failPending();
  }

  /** @internal What `console.log` shows. */
  [INSPECT](...args: unknown[]): string {
    const of = { host: this.#host, port: this.#port, isConnected: this.#socket !== undefined };
    return inspected(this, of, args);
  }

  /** Closes the connection at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.disconnect();
  }
}

function notConnected(): DistflowError {
  return new DistflowError('pmd_unavailable', 'Not connected to PMD');
}
