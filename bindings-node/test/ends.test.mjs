// The end of a node, two hundred times each way: it takes at most two seconds, nothing is called
// afterwards, and the process can end (`docs/guarantees.md`, F2).
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { program, startNode, startPmd } from './helpers.mjs';

const TIMES = 200;
const AT_ONCE = 4;
const SHUTDOWN_MS_MAX = 2_000;

test('two hundred nodes are shut down in the middle of a stream', async (t) => {
  const pmd = await startPmd(t);
  const peer = await startNode(t, pmd, { alias: 'peer', mailbox: { overflow: 'drop-oldest' } });
  peer.onMessage((message, meta) => void peer.send(meta.from, message).catch(() => {}));
  const slow = [];
  for (let time = 0; time < TIMES; time++) {
    const node = await startNode(t, pmd, { alias: 'short', mailbox: { overflow: 'drop-oldest' } });
    let [ended, late] = [false, 0];
    await new Promise((resolve) => {
      let count = 0;
      const streaming = (message) => {
        if (ended) late += 1;
        else node.send('peer', message).catch(() => {});
        if (++count === 50) resolve();
      };
      node.onMessage(streaming);
      node.on('peer:leave', () => {
        if (ended) late += 1;
      });
      for (let at = 0; at < 100; at++) node.send('peer', at).catch(() => {});
    });
    const begun = performance.now();
    // Every other time with calls under way, which have to settle.
    const calls = time % 2 ? [node.discover(), node.send('nobody', 1)] : [];
    const settled = Promise.allSettled(calls);
    await node.shutdown();
    ended = true;
    const took = performance.now() - begun;
    if (took > SHUTDOWN_MS_MAX) slow.push(took);
    await settled;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(late, 0);
  }
  // A machine that is busy elsewhere may stand still for a while.
  assert.ok(slow.length <= TIMES / 50, `${slow} ms`);
});

const scenarios = {
  'after a shutdown': {
    code: 'node.shutdown();',
    exit: 0,
  },
  'idle, with nobody who shut its node down': {
    code: 'node.send("echo", 1);',
    exit: 0,
  },
  'by process.exit in a handler': {
    code: `
      node.onMessage((at) => { if (at === 20) process.exit(7); });
      for (let at = 0; at < 100; at++) node.send('echo', at);
    `,
    exit: 7,
  },
  'by an exception in a handler': {
    code: `
      process.on('uncaughtException', () => process.exit(8));
      node.onMessage((at) => { if (at === 20) throw new Error('on purpose'); });
      for (let at = 0; at < 100; at++) node.send('echo', at);
    `,
    exit: 8,
  },
};

for (const [how, { code, exit }] of Object.entries(scenarios)) {
  test(`two hundred processes end ${how}`, async (t) => {
    const pmd = await startPmd(t);
    const echo = await startNode(t, pmd, { alias: 'echo', mailbox: { overflow: 'drop-oldest' } });
    echo.onMessage((message, meta) => void echo.send(meta.from, message).catch(() => {}));
    let begun = 0;
    const runSome = async () => {
      while (begun < TIMES) {
        begun += 1;
        const { ended } = program(t, `
          const { NodeRuntime } = require('@distflow/native');
          NodeRuntime.start({ pmdPort: ${pmd.port} }).then(async (node) => {
            await node.send('echo', 'up');
            ${code}
          });
        `);
        const { code: actual, signal, stderr } = await ended;
        assert.deepEqual([actual, signal, stderr], [exit, null, '']);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, runSome));
    // None of them is registered any more.
    while ((await pmd.nodes()).length > 1) await new Promise((resolve) => setImmediate(resolve));
  });
}
