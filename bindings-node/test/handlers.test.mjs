// Handlers that return promises: a message is being handled until its promise settles.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defer, distflow, program, startNode, startPmd, until } from './helpers.mjs';

/** A node with a handler that is done when told; what is under way, and the most that was. */
async function slow(t, pmd, options) {
  const node = await startNode(t, pmd, { alias: 'slow', ...options });
  const state = { node, begun: [], open: [], most: 0, mostWaiting: 0 };
  node.onMessage(async (message) => {
    const { promise, resolve } = defer();
    state.begun.push(message);
    state.open.push(resolve);
    state.most = Math.max(state.most, state.open.length);
    state.mostWaiting = Math.max(state.mostWaiting, node.stats().waiting);
    await promise;
  });
  state.finish = () => state.open.splice(0).forEach((resolve) => resolve());
  return state;
}

for (const [given, bound] of [[{}, 10], [{ concurrency: 1 }, 1], [{ concurrency: 3 }, 3]]) {
  test(`five thousand messages wait for handlers with ${JSON.stringify(given)}, and none is lost`, async (t) => {
    const pmd = await startPmd(t);
    const count = 5_000;
    const state = await slow(t, pmd, { mailbox: { maxSize: 10 }, ...given });
    // What may be under way between the two is less than all.
    const sender = await startNode(t, pmd, { maxQueueBytes: 256 << 10 });
    let sent = 0;
    const sending = (async () => {
      const pad = 'x'.repeat(8_000);
      for (let at = 0; at < count; at++) {
        await sender.send('slow', { at, pad });
        sent += 1;
      }
    })();
    await until(() => state.open.length === bound, 'as many as may be');
    // Nothing more is begun; the sender is stopped by the queues between them.
    let before = -1;
    while (sent !== before) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.equal(state.begun.length, bound);
    assert.ok(sent < count, 'the sender should wait');
    assert.ok(state.node.stats().waiting <= 10);
    await until(() => (state.finish(), state.begun.length === count), 'all messages');
    await sending;
    state.finish();
    assert.deepEqual(state.begun.map(({ at }) => at), Array.from({ length: count }, (_, at) => at));
    assert.equal(state.most, bound);
    assert.ok(state.mostWaiting <= 10, `${state.mostWaiting} were waiting`);
    assert.equal(state.node.stats().dropped, 0);
    assert.equal(state.node.stats().delivered, count);
  });
}

test('by default a handler may wait for a later message', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'self' });
  const answers = new Map();
  const asked = defer();
  node.onMessage(async ({ question, answer }) => {
    if (answer !== undefined) return answers.get(answer)();
    const answered = new Promise((resolve) => answers.set(question, resolve));
    await node.send('self', { answer: question });
    await answered;
    if (answers.size === 20) asked.resolve();
  });
  for (let question = 0; question < 20; question++) await node.send('self', { question });
  await asked.promise;
});

test('a message is handled when all of its handlers are', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'two', concurrency: 1 });
  const [first, second, begun] = [defer(), defer(), []];
  node.onMessage((message) => (begun.push(message), first.promise));
  node.onMessage(() => second.promise);
  node.onMessage(() => {});
  await node.send('two', 1);
  await node.send('two', 2);
  await until(() => begun.length === 1 && node.stats().waiting === 1, 'one, and one that waits');
  first.resolve();
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(begun, [1]);
  second.resolve();
  await until(() => begun.length === 2, 'the second');
});

test('a rejection is an unhandled one, and the next message is handled', async (t) => {
  const pmd = await startPmd(t);
  const { code, stdout, stderr } = await program(t, `
    const { NodeRuntime } = require('@distflow/native');
    const reasons = [];
    process.on('unhandledRejection', (reason) => reasons.push(reason.message));
    NodeRuntime.create({ pmdPort: ${pmd.port}, alias: 'rejects', concurrency: 1 }).then(async (node) => {
      node.onMessage(async (message) => {
        if (message < 3) throw new Error('on purpose ' + message);
        setImmediate(() => { console.log(JSON.stringify(reasons)); node.shutdown(); });
      });
      for (let at = 1; at <= 3; at++) await node.send('rejects', at);
    });
  `).ended;
  assert.deepEqual([code, stdout, stderr], [0, '["on purpose 1","on purpose 2"]\n', '']);
});

test('a handler that is taken away while it works leaves the rest to the next', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'next', mailbox: { maxSize: 5 } });
  const { promise, resolve } = defer();
  const got = [];
  const stuck = (message) => (got.push(['stuck', message]), promise);
  node.onMessage(stuck);
  for (let at = 0; at < 5; at++) await node.send('next', at);
  await until(() => got.length === 5, 'five');
  await node.send('next', 5);
  node.off('message', stuck);
  node.onMessage((message) => void got.push(['next', message]));
  resolve();
  await until(() => got.length === 6, 'the sixth');
  assert.deepEqual(got[5], ['next', 5]);
});

test('the option is a whole number from 1', async (t) => {
  const pmd = await startPmd(t);
  for (const concurrency of [0, -1, 1.5, '1']) {
    await assert.rejects(distflow.NodeRuntime.create({ pmdPort: pmd.port, concurrency }), {
      code: 'invalid_argument',
      message: /^concurrency must be a/,
    });
  }
});

test('the counters stay after the end', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'counts' });
  const all = defer();
  node.onMessage((message) => message === 4 && all.resolve());
  for (let at = 0; at < 5; at++) await node.send('counts', at);
  await all.promise;
  const before = node.stats();
  assert.equal(before.delivered, 5);
  await node.shutdown();
  assert.deepEqual(node.stats(), before);
});
