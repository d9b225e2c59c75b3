import type { LookupFunction, Socket } from 'node:net';

import { DistflowError } from './error.js';

/** @internal Largest request to a PMD. */
export const PMD_FRAME_BYTES_MAX = 1 << 20;
/** @internal Largest answer of a PMD: the list of 65,536 nodes fits. */
export const PMD_ANSWER_BYTES_MAX = 64 << 20;
/** @internal Largest frame between nodes. */
export const NODE_FRAME_BYTES_MAX = 16 << 20;

/** @internal Sockets, loaded at first use: a node has its own, and starts sooner without. */
export function net(): typeof import('node:net') {
  return require('node:net') as typeof import('node:net');
}

const LOCALHOST = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
];

/**
 * @internal A connection to a host. `localhost` means both families, as in native code, whatever
 * the resolver says of it: the hosts file often leaves one out.
 */
export function dial(host: string, port: number): Socket {
  const lookup: LookupFunction = (_host, options, done) => {
    if (options.all) done(null, LOCALHOST);
    else done(null, '127.0.0.1', 4);
  };
  const own = host.toLowerCase() === 'localhost' ? { lookup } : {};
  return net().connect({ host, port, noDelay: true, ...own });
}

const HEADER_BYTES = 4;

/**
 * @internal A value as a frame: its length as 4 bytes, big-endian, then its JSON.
 *
 * Errors: `invalid_json` for what JSON can't hold, `too_large`.
 */
export function encodeFrame(value: unknown, bytesMax: number): Buffer {
  const text = stringify(value) ?? '';
  const length = Buffer.byteLength(text);
  if (length > bytesMax) {
    throw new DistflowError('too_large', `a frame of ${length} bytes; at most ${bytesMax} may be`);
  }
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
  frame.writeUInt32BE(length, 0);
  frame.write(text, HEADER_BYTES);
  return frame;
}

/** @internal JSON of a payload; undefined when there is none. Error: `invalid_json`. */
export function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    const text = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new DistflowError('invalid_json', `Invalid payload: ${text}`, { cause: error });
  }
}

/** @internal Finds frames in a stream that comes in pieces. One a connection. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #waiting = 0;

  constructor(readonly bytesMax: number) {}

  /**
   * The frames that are complete with this piece, as text.
   *
   * Error: `invalid_frame` when one is announced that is larger than the limit.
   */
  push(piece: Buffer): string[] {
    this.#pieces.push(piece);
    this.#waiting += piece.length;
    const texts: string[] = [];
    for (;;) {
      if (this.#waiting < HEADER_BYTES) return texts;
      this.#gather(HEADER_BYTES);
      const length = (this.#pieces[0] as Buffer).readUInt32BE(0);
      if (length > this.bytesMax) {
        throw new DistflowError('invalid_frame', `a frame of ${length} bytes was announced`);
      }
      if (this.#waiting < HEADER_BYTES + length) return texts;
      this.#gather(HEADER_BYTES + length);
      const first = this.#pieces[0] as Buffer;
      const end = HEADER_BYTES + length;
      texts.push(first.toString('utf8', HEADER_BYTES, end));
      this.#waiting -= end;
      if (first.length === end) this.#pieces.shift();
      else this.#pieces[0] = first.subarray(end);
    }
  }

  /** Joins pieces until the first holds that many bytes. */
  #gather(bytes: number): void {
    const first = this.#pieces[0] as Buffer;
    if (first.length < bytes) this.#pieces = [Buffer.concat(this.#pieces)];
  }
}
