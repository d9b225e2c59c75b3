// A bare socket: a length of four bytes, then JSON; one write a message.

import { connect as dial, createServer } from 'node:net';

const HEADER = 4;

function listen(accept) {
  return new Promise((resolve) => {
    const server = createServer({ noDelay: true }, accept);
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });
}

/** Calls back with the object of each frame. */
export function frames(socket, take) {
  let rest;
  socket.on('data', (data) => {
    const bytes = rest ? Buffer.concat([rest, data]) : data;
    let at = 0;
    while (bytes.length - at >= HEADER) {
      const end = at + HEADER + bytes.readUInt32BE(at);
      if (end > bytes.length) break;
      take(JSON.parse(bytes.toString('utf8', at + HEADER, end)));
      at = end;
    }
    rest = at < bytes.length ? bytes.subarray(at) : undefined;
  });
}

/** Writes each message at once; a promise when the next has to wait. */
export function writer(socket) {
  return (object) => {
    const text = JSON.stringify(object);
    const length = Buffer.byteLength(text);
    const frame = Buffer.allocUnsafe(HEADER + length);
    frame.writeUInt32BE(length, 0);
    frame.write(text, HEADER);
    if (socket.write(frame)) return undefined;
    return new Promise((resolve) => socket.once('drain', resolve));
  };
}

export const receive = (take) => listen((socket) => frames(socket, take));

export async function open(port) {
  const socket = dial({ port: Number(port), host: '127.0.0.1', noDelay: true });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return socket;
}

export async function connect(port) {
  const socket = await open(port);
  return { send: writer(socket), flush: () => new Promise((resolve) => socket.end(resolve)) };
}

export const echo = () =>
  listen((socket) => {
    const write = writer(socket);
    frames(socket, (object) => void write(object));
  });

export async function pinger(port) {
  const socket = await open(port);
  const write = writer(socket);
  let answer;
  frames(socket, (object) => answer(object));
  return (object) =>
    new Promise((resolve) => {
      answer = resolve;
      void write(object);
    });
}
