// The same socket, but messages of one turn of the loop go out in writes of up to 64 KiB.

import { open, receive } from './net.mjs';

const BATCH = 64 << 10;
const HEADER = 4;

export { receive };

export async function connect(port) {
  const socket = await open(port);
  let batch = Buffer.allocUnsafe(BATCH);
  let filled = 0;
  let scheduled = false;
  const flush = () => {
    scheduled = false;
    if (filled === 0) return true;
    const full = batch.subarray(0, filled);
    batch = Buffer.allocUnsafe(BATCH);
    filled = 0;
    return socket.write(full);
  };
  const send = (object) => {
    const text = JSON.stringify(object);
    // No character takes more than three bytes.
    const isFull = filled + HEADER + 3 * text.length > BATCH;
    const goOn = isFull ? flush() : true;
    const length = batch.write(text, filled + HEADER);
    batch.writeUInt32BE(length, filled);
    filled += HEADER + length;
    if (!scheduled) {
      scheduled = true;
      setImmediate(flush);
    }
    return goOn ? undefined : new Promise((resolve) => socket.once('drain', resolve));
  };
  const end = () =>
    new Promise((resolve) => {
      flush();
      socket.end(resolve);
    });
  return { send, flush: end };
}
