import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';

import { collect, defer, distflow, freePort, require, startNode, startPmd, until } from './helpers.mjs';

const { DistflowError, NodeRuntime } = distflow;

test('a node tells who it is', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'me', nodeId: 'fixed-id', meta: { zone: 'x', a: 1 } });
  assert.ok(node instanceof NodeRuntime && node instanceof EventEmitter);
  assert.equal(node.getNodeId(), 'fixed-id');
  assert.equal(node.getAlias(), 'me');
  assert.equal(node.isRegistered(), true);
  const [registered] = await pmd.nodes();
  assert.equal(JSON.stringify(registered), JSON.stringify({
    nodeId: 'fixed-id', alias: 'me', host: 'localhost', port: node.getPort(), meta: { zone: 'x', a: 1 },
  }));
  const nameless = await startNode(t, pmd);
  assert.match(nameless.getNodeId(), /^[0-9a-f]{16}$/);
  assert.equal(nameless.getAlias(), undefined);
});

test('messages pass unchanged, with the original metadata and the alias', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const b = await startNode(t, pmd, { alias: 'b' });
  const payloads = [
    undefined, null, true, 0, -0.5, 1e300, '', 'text "quoted" \\ \u2028 \ud83d\ude00', [], {},
    { nested: [1, { two: null }], __proto__key: 1 }, '1],["forged",1,2', 'x'.repeat(200_000),
    '\ud800 alone',
  ];
  const before = Date.now();
  const got = collect(b, payloads.length);
  for (const payload of payloads) assert.equal(await a.send('b', payload), undefined);
  const messages = await got;
  assert.deepEqual(messages.map(([payload]) => payload), payloads);
  for (const [, meta] of messages) {
    assert.deepEqual(Object.keys(meta), ['from', 'to', 'timestamp', 'alias']);
    assert.equal(meta.alias, 'a');
    assert.equal(meta.from, a.getNodeId());
    assert.equal(meta.to, b.getNodeId());
    // The library reads its clock seldom and sets it right at times.
    assert.ok(meta.timestamp > before - 1000 && meta.timestamp < Date.now() + 1000);
  }
  const answer = collect(a, 1);
  await b.send(a.getNodeId(), 'by id');
  assert.equal((await answer)[0][0], 'by id');
});

test('a repeated send makes no promise of its own', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  await startNode(t, pmd, { alias: 'b' });
  await a.send('b', 1);
  assert.equal(a.send('b', 2), a.send('b', 3));
});

test('a burst keeps its order for each target, whatever it holds', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const block = { mailbox: { overflow: 'block' } };
  const b = await startNode(t, pmd, { alias: 'b', ...block });
  const c = await startNode(t, pmd, { alias: 'c', ...block });
  await Promise.all([a.send('b', 'up'), a.send('c', 'up')]);
  // Around the length up to which text is read in one step, with characters of every width.
  const payload = (at) => {
    if (at % 50 === 0) return undefined;
    if (at % 7 === 0) return { at, text: ['x', 'é', '€', '😀'][at % 4].repeat(1_000 + (at % 3_200)) };
    return [at, null, '1],[2', { '__proto__': at }];
  };
  const count = 2_000;
  const [got, others] = [collect(b, count + 1), collect(c, count + 1)];
  const sent = [];
  for (let at = 0; at < count; at++) sent.push(a.send(at % 3 ? 'b' : b.getNodeId(), payload(at)), a.send('c', at));
  await Promise.all(sent);
  assert.deepEqual((await got).slice(1).map(([message]) => message), Array.from({ length: count }, (_, at) => payload(at)));
  assert.deepEqual((await others).slice(1).map(([message]) => message), Array.from({ length: count }, (_, at) => at));
});

test('in a burst each promise has a result of its own', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a', maxFrameBytes: 10_000 });
  const b = await startNode(t, pmd, { alias: 'b' });
  await a.send('b', 'up');
  const got = collect(b, 4);
  let deep = [];
  for (let level = 0; level < 70; level++) deep = [deep];
  const results = await Promise.allSettled([
    a.send('b', 1), a.send('b', deep), a.send('b', 2n), a.send('b', 2), a.send('nobody', 3),
    a.send('b', 'x'.repeat(10_000)), a.send('b', 3),
  ]);
  assert.deepEqual(results.map(({ reason }) => reason?.code), [
    undefined, 'invalid_json', 'invalid_json', undefined, 'resolve_failed', 'too_large', undefined,
  ]);
  assert.deepEqual((await got).map(([message]) => message), ['up', 1, 2, 3]);
});

test('ten thousand messages keep their order, both ways at once', async (t) => {
  const pmd = await startPmd(t);
  const mailbox = { overflow: 'block' };
  const a = await startNode(t, pmd, { alias: 'a', mailbox });
  const b = await startNode(t, pmd, { alias: 'b', mailbox });
  const count = 10_000;
  const [fromA, fromB] = [collect(b, count), collect(a, count)];
  for (let at = 0; at < count; at++) {
    await Promise.all([a.send('b', at), b.send('a', { at })]);
  }
  (await fromA).forEach(([payload], at) => assert.equal(payload, at));
  (await fromB).forEach(([payload], at) => assert.equal(payload.at, at));
  const stats = a.stats();
  assert.equal(stats.sent, count);
  assert.equal(stats.delivered, count);
  assert.deepEqual(
    Object.keys(stats),
    ['sent', 'delivered', 'dropped', 'lostOutbound', 'lostInbound', 'misdirected', 'waiting', 'badFrames'],
  );
});

test('what JSON cannot hold is refused with a name', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'a' });
  const cycle = {};
  cycle.self = cycle;
  await assert.rejects(node.send('a', cycle), { code: 'invalid_json', message: /circular/ });
  await assert.rejects(node.send('a', { n: 1n }), { code: 'invalid_json', message: /BigInt/ });
  const deep = JSON.parse('['.repeat(100) + ']'.repeat(100));
  await assert.rejects(node.send('a', deep), (error) => {
    assert.ok(error instanceof DistflowError);
    return error.code === 'invalid_json';
  });
  await assert.rejects(node.send('a', 'x'.repeat(17 << 20)), { code: 'too_large' });
  await assert.rejects(node.send(7, 'x'), { code: 'invalid_argument' });
});

test('a target that is not there is named', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd);
  await assert.rejects(node.send('nobody', 1), {
    name: 'DistflowError',
    code: 'resolve_failed',
    message: 'Failed to resolve target: nobody',
    causes: ['Node not found'],
  });
});

test('an alias has one owner', async (t) => {
  const pmd = await startPmd(t);
  await startNode(t, pmd, { alias: 'taken' });
  await assert.rejects(startNode(t, pmd, { alias: 'taken' }), {
    code: 'alias_in_use',
    message: "Alias 'taken' already in use",
  });
});

test('discover tells exactly the original members', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'svc-a' });
  const b = await startNode(t, pmd, { alias: 'svc-b' });
  const c = await startNode(t, pmd);
  const found = await a.discover();
  assert.equal(JSON.stringify(found), JSON.stringify([
    { alias: 'svc-b', nodeId: b.getNodeId(), host: 'localhost', port: b.getPort() },
    { nodeId: c.getNodeId(), host: 'localhost', port: c.getPort() },
  ]));
  assert.deepEqual(await c.discover({ prefix: 'svc-' }).then((peers) => peers.map(({ alias }) => alias)), ['svc-a', 'svc-b']);
  assert.deepEqual(Object.keys(a.peers().find(({ alias }) => alias === 'svc-b')), ['nodeId', 'alias', 'host', 'port', 'lastHeartbeat']);
});

test('joins and leaves are told, the own leave too', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const joined = once(a, 'peer:join');
  const b = await startNode(t, pmd, { alias: 'b' });
  const [peer] = await joined;
  assert.deepEqual(Object.keys(peer), ['nodeId', 'alias', 'host', 'port', 'lastHeartbeat']);
  assert.equal(peer.nodeId, b.getNodeId());
  const left = once(a, 'peer:leave');
  const own = [];
  b.on('peer:leave', (peer) => own.push(peer.nodeId));
  await b.shutdown();
  assert.deepEqual(own, [b.getNodeId()]);
  const [leaver, reason] = await left;
  assert.deepEqual(leaver, peer);
  assert.equal(reason, 'unregistered');
});

test('messages wait until there is a listener', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const b = await startNode(t, pmd, { mailbox: { maxSize: 2, overflow: 'drop-newest' }, alias: 'b' });
  const overflow = once(b, 'mailbox:overflow');
  for (const n of [1, 2, 3, 4, 5]) await a.send('b', n);
  assert.equal(typeof (await overflow)[0], 'number');
  await until(() => b.stats().dropped === 3, 'three drops');
  assert.equal(b.stats().waiting, 2);
  assert.deepEqual((await collect(b, 2)).map(([payload]) => payload), [1, 2]);
});

test('drop-oldest keeps the newest', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const b = await startNode(t, pmd, { alias: 'b', mailbox: { maxSize: 2, overflow: 'drop-oldest' } });
  for (const n of [1, 2, 3, 4, 5]) await a.send('b', n);
  await until(() => b.stats().dropped === 3, 'three drops');
  assert.deepEqual((await collect(b, 2)).map(([payload]) => payload), [4, 5]);
});

test('listeners that come and go within a batch lose nothing', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const b = await startNode(t, pmd, { alias: 'b' });
  const count = 500;
  for (let at = 0; at < count; at++) await a.send('b', at);
  for (let at = 0; at < count; at++) {
    const [payload] = await once(b, 'message');
    assert.equal(payload, at);
  }
  assert.equal(b.stats().delivered, count);
  b.on('message', () => {});
  b.removeAllListeners();
  await a.send('b', 'later');
  const got = [];
  const both = defer();
  b.onMessage((payload) => got.push(['first', payload]));
  b.prependListener('message', (payload) => got.push(['before', payload]));
  b.addListener('message', () => both.resolve());
  await both.promise;
  assert.deepEqual(got, [['before', 'later'], ['first', 'later']]);
});

test('a node is an async iterable', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const b = await startNode(t, pmd, { alias: 'b' });
  for (let at = 0; at < 10; at++) await a.send('b', at);
  const seen = [];
  for await (const { payload, meta } of b) {
    assert.equal(meta.from, a.getNodeId());
    seen.push(payload);
    if (payload === 4) break;
  }
  for await (const { payload } of b) {
    seen.push(payload);
    if (payload === 9) break;
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const rest = b[Symbol.asyncIterator]();
  const pending = rest.next();
  await b.shutdown();
  assert.deepEqual(await pending, { done: true, value: undefined });
  assert.deepEqual(await b[Symbol.asyncIterator]().next(), { done: true, value: undefined });
});

test('a full mailbox drops what nobody listens for, and nothing once somebody does', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const b = await startNode(t, pmd, { alias: 'b', mailbox: { maxSize: 10 } });
  const overflow = once(b, 'mailbox:overflow');
  for (let at = 0; at < 100; at++) await a.send('b', at);
  await overflow;
  await until(() => b.stats().dropped + b.stats().waiting === 100);
  assert.equal(b.stats().waiting, 10);
  const { dropped } = b.stats();
  // Neither a burst, nor a sender that never lets the receiver run, nor a slow handler costs one.
  const count = 5_000;
  const got = [];
  const done = new Promise((resolve) => {
    b.onMessage((message) => {
      got.push(message);
      if (got.length % 1_000 === 0) for (const end = performance.now() + 20; performance.now() < end; );
      if (got.length === 10 + 2 * count) resolve();
    });
  });
  for (let at = 0; at < count; at++) await b.send('b', at);
  await Promise.all(Array.from({ length: count }, (_, at) => b.send('b', count + at)));
  await done;
  assert.deepEqual(got, [...Array(10).keys(), ...Array(2 * count).keys()]);
  assert.equal(b.stats().dropped, dropped);
});

test('a slow iterator leaves messages in the mailbox', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  const b = await startNode(t, pmd, { alias: 'b', mailbox: { maxSize: 10, overflow: 'block' } });
  const iterator = b[Symbol.asyncIterator]();
  const first = iterator.next();
  await a.send('b', 0);
  assert.equal((await first).value.payload, 0);
  for (let at = 1; at < 50; at++) await a.send('b', at);
  for (let at = 1; at < 50; at++) assert.equal((await iterator.next()).value.payload, at);
  await iterator.return();
});

test('waits can be aborted and limited', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'a' });
  const abort = new AbortController();
  const reason = new Error('enough');
  abort.abort(reason);
  const aborted = { name: 'AbortError', code: 'aborted', cause: reason };
  await assert.rejects(node.send('a', 1, { signal: abort.signal }), aborted);
  await assert.rejects(node.discover({ signal: abort.signal }), aborted);
  await assert.rejects(NodeRuntime.create({ signal: abort.signal }), aborted);
  const later = new AbortController();
  const discovering = node.discover({ signal: later.signal });
  later.abort();
  await assert.rejects(discovering, { code: 'aborted' });
  assert.deepEqual(await node.discover({ signal: new AbortController().signal, timeoutMs: 20_000 }), []);

  // A peer that never reads, so that a send has to wait.
  const { createServer } = require('node:net');
  const sockets = [];
  const server = createServer((socket) => sockets.push(socket.pause())).listen(0, 'localhost');
  await once(server, 'listening');
  t.after(() => (sockets.forEach((socket) => socket.destroy()), server.close()));
  const client = new distflow.PMDClient('localhost', pmd.port);
  await client.connect();
  t.after(() => client.disconnect());
  await client.register('deaf', 'deaf', 'localhost', server.address().port);
  const big = 'x'.repeat(1 << 20);
  await assert.rejects(
    (async () => {
      for (;;) await node.send('deaf', big, { timeoutMs: 200 });
    })(),
    { code: 'timeout' },
  );
});

test('wrong options of a wait are named, and a limit may be endless', async (t) => {
  const pmd = await startPmd(t);
  const a = await startNode(t, pmd, { alias: 'a' });
  for (const options of [{ signal: {} }, { timeoutMs: -1 }, { timeoutMs: NaN }, { timeoutMs: '50' }, 5]) {
    await assert.rejects(a.send('a', 1, options), { code: 'invalid_argument' });
    await assert.rejects(a.discover(options), { code: 'invalid_argument' });
  }
  await assert.rejects(startNode(t, pmd, { signal: {} }), { code: 'invalid_argument' });
  await assert.rejects(NodeRuntime.start({ pmdPort: pmd.port, signal: 1 }), { code: 'invalid_argument' });
  await assert.rejects(startNode(t, pmd, { meta: { big: 1n } }), { code: 'invalid_argument' });
  await assert.rejects(startNode(t, pmd, { logger: console }), { code: 'invalid_argument' });
  await assert.rejects(NodeRuntime.create([]), { code: 'invalid_argument' });
  assert.throws(() => new NodeRuntime({ alias: 'a' }), { code: 'invalid_argument', message: /NodeRuntime\.start/ });
  assert.throws(() => new distflow.PMD(24_059), { code: 'invalid_argument' });
  assert.throws(() => new distflow.Mailbox().onMessage(5), { code: 'invalid_argument' });
  for (const options of [{ timeoutMs: Infinity }, { timeoutMs: 2 ** 40 }, null, {}]) {
    await assert.rejects(a.send('nobody', 1, options), { code: 'resolve_failed' });
    assert.deepEqual(await a.discover(options), []);
  }
});

test('a start can be aborted, and leaves nothing behind', async (t) => {
  const { createServer } = require('node:net');
  // Accepts and never answers.
  const server = createServer(() => {}).listen(0, 'localhost');
  await once(server, 'listening');
  t.after(() => server.close());
  const codes = [];
  // One that comes more than 0.9 s late finds that the start has failed, but not each time.
  while (codes.length < 3 && codes.at(-1) !== 'aborted') {
    const abort = new AbortController();
    const starting = NodeRuntime.create({ pmdPort: server.address().port, signal: abort.signal });
    const failed = starting.then(() => 'started', ({ code }) => code);
    const [socket] = await once(server, 'connection');
    abort.abort();
    codes.push(await failed);
    socket.resume();
    await once(socket, 'close');
  }
  assert.equal(codes.at(-1), 'aborted');
});

test('after shutdown everything says so', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'a' });
  await Promise.all([node.shutdown(), node.shutdown()]);
  await node.shutdown();
  const error = { code: 'closed', message: 'Node not started' };
  await assert.rejects(node.send('a', 1), error);
  await assert.rejects(node.discover(), error);
  assert.deepEqual(node.peers(), []);
  assert.equal(node.isRegistered(), false);
  assert.match(node.getNodeId(), /^[0-9a-f]{16}$/);
  assert.equal(node.stats().sent, 0);
  assert.equal(node.ref().unref(), node);
  assert.deepEqual(await pmd.nodes(), []);
  await assert.doesNotReject(async () => node[Symbol.asyncDispose]());
});

test('shutdown from within a handler', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'a' });
  const ended = new Promise((resolve, reject) => {
    node.onMessage(() => node.shutdown().then(resolve, reject));
  });
  await node.send('a', 1);
  await ended;
});

test('ten thousand promises that are pending at the end all settle', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd);
  const pending = Array.from({ length: 10_000 }, (_, at) => node.send(`nobody-${at}`, at));
  const settling = Promise.allSettled(pending);
  await node.shutdown();
  for (const { status, reason } of await settling) {
    assert.equal(status, 'rejected');
    assert.ok(reason instanceof DistflowError, String(reason));
  }
});

test('wrong options are named', async (t) => {
  const wrong = (options, text) =>
    assert.rejects(NodeRuntime.create(options), { code: 'invalid_argument', message: text });
  await wrong({ pmdPort: 'x' }, /pmdPort/);
  await wrong({ pmdPort: 70_000 }, /pmdPort/);
  await wrong({ pmdPort: 0 }, /^pmdPort must be 1 to 65535$/);
  await wrong({ heartbeatIntervalMs: 1 }, /^heartbeatIntervalMs must be 50 to 5000$/);
  await wrong({ maxFrameBytes: 1 }, /^maxFrameBytes must be/);
  await wrong({ alias: 7 }, /alias/);
  await wrong({ meta: [] }, /meta/);
  await wrong({ mailbox: { overflow: 'burst' } }, /burst/);
  await wrong(null, /options/);
  await assert.rejects(NodeRuntime.create({ listenHost: '0.0.0.0' }), { code: 'insecure' });
});

test('without a PMD, and none to be launched, a start fails', async (t) => {
  const port = await freePort();
  await assert.rejects(
    NodeRuntime.create({ pmdPort: port, autoStart: false, startTimeoutMs: 500 }),
    { code: 'pmd_unavailable' },
  );
});

test('the loss of the PMD and its return are told', async (t) => {
  const port = await freePort();
  const pmd = await startPmd(t, { port });
  const node = await startNode(t, pmd, { alias: 'a' });
  const peer = await startNode(t, pmd, { alias: 'b' });
  // These events are heard in passing: waiting for them does not keep Node.js alive.
  node.ref();
  const lost = once(node, 'pmd:lost');
  await pmd.stop();
  assert.ok((await lost)[0] instanceof DistflowError);
  assert.equal(node.isRegistered(), false);
  await assert.rejects(node.discover(), (error) => error instanceof DistflowError);
  await peer.send('a', 'to a known peer').catch(() => {});
  const restored = [once(node, 'pmd:restored'), once(peer, 'pmd:restored')];
  const again = await startPmd(t, { port });
  assert.equal(again.port, port);
  await Promise.all(restored);
  const got = collect(node, 1);
  await peer.send('a', 'back');
  await got;
});

test('messages that cannot be delivered any more are told', async (t) => {
  const { createServer } = require('node:net');
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'a' });
  const server = createServer((socket) => socket.pause()).listen(0, 'localhost');
  const connections = [];
  server.on('connection', (socket) => connections.push(socket));
  await once(server, 'listening');
  const client = new distflow.PMDClient('localhost', pmd.port);
  await client.connect();
  await client.register('deaf', 'deaf', 'localhost', server.address().port);
  const big = 'x'.repeat(1 << 20);
  await node.send('deaf', big);
  await assert.rejects((async () => {
    for (;;) await node.send('deaf', big, { timeoutMs: 2_000 });
  })(), { code: 'timeout' });
  node.ref();
  const failed = once(node, 'send:failed');
  server.close();
  client.disconnect();
  for (const socket of connections) socket.destroy();
  const [failure] = await failed;
  assert.equal(failure.to, 'deaf');
  assert.ok(failure.messages > 0);
  assert.ok(failure.error instanceof DistflowError);
});
