// zeromq.js: push and pull, a pair for round trips.

import { Pair, Pull, Push } from 'zeromq';

const HIGH_WATER_MARK = 10_000;

async function bind(socket) {
  await socket.bind('tcp://127.0.0.1:*');
  return socket.lastEndpoint;
}

export async function receive(take) {
  const socket = new Pull({ receiveHighWaterMark: HIGH_WATER_MARK });
  const address = await bind(socket);
  void (async () => {
    for await (const [message] of socket) take(JSON.parse(message.toString()));
  })();
  return address;
}

export async function connect(address) {
  const socket = new Push({ sendHighWaterMark: HIGH_WATER_MARK });
  socket.connect(address);
  return { send: (object) => socket.send(JSON.stringify(object)), flush: () => {} };
}

export async function echo() {
  const socket = new Pair();
  const address = await bind(socket);
  void (async () => {
    for await (const [message] of socket) {
      await socket.send(JSON.stringify(JSON.parse(message.toString())));
    }
  })();
  return address;
}

export async function pinger(address) {
  const socket = new Pair();
  socket.connect(address);
  return async (object) => {
    await socket.send(JSON.stringify(object));
    const [message] = await socket.receive();
    return JSON.parse(message.toString());
  };
}
