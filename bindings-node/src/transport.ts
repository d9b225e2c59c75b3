import type { Server, Socket } from 'node:net';

import { rethrow } from './calls.js';
import { DistflowError, fromSocket } from './error.js';
import { FrameReader, NODE_FRAME_BYTES_MAX, dial, encodeFrame, net } from './frame.js';
import type { MessageHandler, MessageMetadata } from './types.js';

export type { MessageHandler, MessageMetadata } from './types.js';

const CONNECT_TIMEOUT_MS = 5000;
const FLUSH_MS = 1500;

/**
 * Frames between nodes over plain sockets, for tools and tests. Nodes have a faster one of their
 * own, in native code.
 *
 * `send` connects to each address once; messages to it keep their order.
 */
export class Transport {
  readonly #handlers: MessageHandler[] = [];
  readonly #outgoing = new Map<string, Promise<Socket>>();
  readonly #sockets = new Set<Socket>();
  #servers: Server[] = [];
  #port = 0;

  /**
   * Listens on loopback, both families where there are two, and returns the port. 0, the default,
   * picks a free one. Errors: `address_in_use`, `io`.
   */
  async listen(port = 0): Promise<number> {
    if (this.#servers.length > 0) return this.#port;
    const first = await this.#bind('127.0.0.1', port).catch((error: unknown) => {
      // A host may have ::1 alone.
      const { code } = (error as DistflowError).cause as NodeJS.ErrnoException;
      if (code !== 'EADDRNOTAVAIL') throw error;
      return this.#bind('::1', port);
    });
    this.#servers.push(first);
    this.#port = (first.address() as { port: number }).port;
    try {
      this.#servers.push(await this.#bind('::1', this.#port));
    } catch {
      // No IPv6, or the port is someone else's there; peers try both.
    }
    return this.#port;
  }

  #bind(host: string, port: number): Promise<Server> {
    return new Promise((resolve, reject) => {
      const server = net().createServer({ noDelay: true }, (socket) => this.#attach(socket));
      server.once('error', (error) => reject(fromSocket(error)));
      server.listen({ host, port }, () => resolve(server));
    });
  }

  #attach(socket: Socket): void {
    this.#sockets.add(socket);
    const reader = new FrameReader(NODE_FRAME_BYTES_MAX);
    socket.on('data', (piece: Buffer) => {
      try {
        for (const text of reader.push(piece)) this.#receive(text);
      } catch {
        socket.destroy();
      }
    });
    socket.on('end', () => socket.destroy());
    // A reset ends in a close, and that is all there is to say.
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #receive(text: string): void {
    let frame: MessageMetadata & { payload?: unknown };
    try {
      frame = JSON.parse(text) as typeof frame;
    } catch (error) {
      console.error('Failed to parse message:', error);
      return;
    }
    if (frame === null || typeof frame !== 'object') return;
    const { from, to, payload, timestamp } = frame;
    for (const handler of [...this.#handlers]) {
      try {
        handler(payload, { from, to, timestamp });
      } catch (error) {
        rethrow(error);
      }
    }
  }

  /**
   * Sends a message to an address; ends when the socket has taken it. Errors: `invalid_json`,
   * `too_large`, `connection_failed` and others of the socket, with its text.
   */
  async send(host: string, port: number, from: string, to: string, payload: any): Promise<void> {
    const frame = encodeFrame({ from, to, payload, timestamp: Date.now() }, NODE_FRAME_BYTES_MAX);
    const socket = await this.#connection(host, port);
    if (socket.write(frame)) return;
    await new Promise<void>((resolve, reject) => {
      const drained = () => (socket.off('close', closed), resolve());
      const closed = () => {
        socket.off('drain', drained);
        reject(new DistflowError('connection_failed', `connection to ${host}:${port} closed`));
      };
      socket.once('drain', drained);
      socket.once('close', closed);
    });
  }

  #connection(host: string, port: number): Promise<Socket> {
    const key = `${host}:${port}`;
    const known = this.#outgoing.get(key);
    if (known) return known;
    const opening = new Promise<Socket>((resolve, reject) => {
      const socket = dial(host, port);
      this.#attach(socket);
      socket.setTimeout(CONNECT_TIMEOUT_MS, () => {
        socket.destroy(Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT' }));
      });
      socket.once('error', (error) => reject(fromSocket(error)));
      socket.once('connect', () => {
        socket.setTimeout(0);
        resolve(socket);
      });
      socket.once('close', () => {
        if (this.#outgoing.get(key) === opening) this.#outgoing.delete(key);
        reject(new DistflowError('connection_failed', `connection to ${key} closed`));
      });
    });
    this.#outgoing.set(key, opening);
    return opening;
  }

  /** Adds a handler of messages. Without any, messages are discarded. */
  onMessage(handler: MessageHandler): void {
    this.#handlers.push(handler);
  }

  /** The port it listens on; 0 when it does not. */
  getPort(): number {
    return this.#port;
  }

  /** Sends what is queued, closes every connection and stops listening. */
  async stop(): Promise<void> {
    const servers = this.#servers;
    this.#servers = [];
    this.#port = 0;
    this.#outgoing.clear();
    const closing = servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    // Other ends that stay open must not keep this one waiting.
    for (const socket of this.#sockets) socket.destroySoon();
    const late = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, FLUSH_MS);
    await Promise.all(closing);
    clearTimeout(late);
  }

  /** Stops at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
