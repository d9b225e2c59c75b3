#!/usr/bin/env node
// Two processes: `pong` answers whoever writes to it, `ping` writes to it and times the answers.
//
//     node ping-pong.js pong [PMD-PORT]
//     node ping-pong.js ping [PMD-PORT]
'use strict';

const { NodeRuntime } = require('@distflow/native');

const PINGS = 5;

async function pong(pmdPort) {
  const node = await NodeRuntime.start({ alias: 'pong', pmdPort });
  // The sender's id is a target like any alias.
  node.onMessage((message, meta) => {
    node.send(meta.from, { pong: message.ping }).catch((error) => {
      console.error(`cannot answer ${meta.from}: ${error.message}`);
    });
  });
  process.once('SIGINT', () => node.shutdown());
  process.once('SIGTERM', () => node.shutdown());
  console.log(`ready as ${node.getNodeId()}`);
}

async function ping(pmdPort) {
  const node = await NodeRuntime.start({ pmdPort });
  try {
    const answers = node[Symbol.asyncIterator]();
    for (let number = 1; number <= PINGS; number++) {
      const start = performance.now();
      // Asked for before it can come.
      const answer = answers.next();
      await node.send('pong', { ping: number });
      const { value } = await answer;
      const ms = (performance.now() - start).toFixed(2);
      console.log(`pong ${value.payload.pong} after ${ms} ms`);
    }
  } finally {
    await node.shutdown();
  }
}

const [role, port = '4369', ...more] = process.argv.slice(2);
const roles = new Map([['ping', ping], ['pong', pong]]);
const run = roles.get(role);
if (!run || more.length > 0 || !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) {
  console.error('usage: ping-pong.js ping|pong [PMD-PORT]');
  process.exitCode = 2;
} else {
  run(Number(port)).catch((error) => {
    console.error(`${error.message} (${error.code})`);
    process.exitCode = 1;
  });
}
