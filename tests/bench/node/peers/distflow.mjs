// @distflow/native as a program uses it: `await send`, a handler, a mailbox that makes senders wait.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { NodeRuntime } = require(process.env.DISTFLOW_PACKAGE ?? '../../../../bindings-node');

async function node(port) {
  const options = { pmdPort: Number(port), autoStart: false, mailbox: { overflow: 'block' } };
  return NodeRuntime.start(options);
}

export async function receive(take, port) {
  const runtime = await node(port);
  runtime.onMessage(take);
  return runtime.getNodeId();
}

export async function connect(target, port) {
  const runtime = await node(port);
  return { send: (object) => runtime.send(target, object), flush: () => runtime.shutdown() };
}

export async function echo(port) {
  const runtime = await node(port);
  runtime.onMessage((message, meta) => void runtime.send(meta.from, message));
  return runtime.getNodeId();
}

export async function pinger(target, port) {
  const runtime = await node(port);
  let answer;
  runtime.onMessage((message) => answer(message));
  return (object) =>
    new Promise((resolve) => {
      answer = resolve;
      void runtime.send(target, object);
    });
}
