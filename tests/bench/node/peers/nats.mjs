// NATS over its server. A sender may be so many messages ahead of the receiver, who tells how far
// it is: otherwise the server drops the receiver as too slow.

import { connect as dial } from 'nats';

const AHEAD = 65_536;
const TOLD = 8_192;

const server = (port) => dial({ servers: `127.0.0.1:${port}` });

async function subscribe(connection, subject, callback) {
  connection.subscribe(subject, { callback: (error, message) => callback(message) });
  await connection.flush();
}

export async function receive(take, port) {
  const connection = await server(port);
  let count = 0;
  await subscribe(connection, 'stream', (message) => {
    take(JSON.parse(message.string()));
    count += 1;
    if (count % TOLD === 0) connection.publish('progress', String(count));
  });
  return 'stream';
}

export async function connect(subject, port) {
  const connection = await server(port);
  let [sent, received, wake] = [0, 0, undefined];
  await subscribe(connection, 'progress', (message) => {
    received = Number(message.string());
    wake?.();
  });
  const send = (object) => {
    connection.publish(subject, JSON.stringify(object));
    sent += 1;
    // The loop needs a turn now and then, for what was published is written in one.
    if (sent % 1_024 !== 0) return undefined;
    if (sent - received < AHEAD) return new Promise((resolve) => setImmediate(resolve));
    return new Promise((resolve) => (wake = () => sent - received < AHEAD && resolve()));
  };
  return { send, flush: () => connection.drain() };
}

export async function echo(port) {
  const connection = await server(port);
  await subscribe(connection, 'ask', (message) => {
    connection.publish('answer', JSON.stringify(JSON.parse(message.string())));
  });
  return 'ask';
}

export async function pinger(subject, port) {
  const connection = await server(port);
  let answer;
  await subscribe(connection, 'answer', (message) => answer(JSON.parse(message.string())));
  return (object) =>
    new Promise((resolve) => {
      answer = resolve;
      connection.publish(subject, JSON.stringify(object));
    });
}
