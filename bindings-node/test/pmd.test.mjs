// The embedded PMD, its client, and the transport.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';

import { command, defer, distflow, installed, require, startNode, startPmd } from './helpers.mjs';

const { DistflowError, MessageType, PMD, PMDClient, Transport } = distflow;

async function client(t, pmd) {
  const client = new PMDClient('localhost', pmd.port);
  await client.connect();
  t.after(() => client.disconnect());
  return client;
}

test('the modules are the same under every name', () => {
  assert.equal(require('@distflow/native/pmd').PMD, PMD);
  assert.equal(require('@distflow/native/pmd-client').PMDClient, PMDClient);
  assert.equal(require('@distflow/native/transport').Transport, Transport);
});

test('an embedded PMD starts, stops and starts again', async (t) => {
  const pmd = new PMD({ port: 0 });
  assert.equal(pmd.port, 0);
  await assert.rejects(pmd.nodes(), { code: 'closed' });
  await Promise.all([pmd.start(), pmd.start()]);
  assert.ok(pmd.port > 0);
  assert.deepEqual(await pmd.nodes(), []);
  assert.equal(pmd.ref().unref(), pmd);
  const stopped = once(pmd, 'stopped');
  await Promise.all([pmd.stop(), pmd.stop()]);
  assert.deepEqual(await stopped, ['closed']);
  assert.equal(pmd.port, 0);
  await pmd.stop();
  await pmd.start();
  const other = new PMD({ port: pmd.port });
  await assert.rejects(other.start(), { code: 'address_in_use' });
  await pmd[Symbol.asyncDispose]();
  await assert.rejects(new PMD({ port: 0, host: '0.0.0.0' }).start(), { code: 'insecure' });
  await assert.rejects(new PMD({ port: 'x' }).start(), { code: 'invalid_argument' });
});

test('an embedded PMD tells who comes and goes', async (t) => {
  const pmd = await startPmd(t);
  const joined = once(pmd, 'peer:join');
  const node = await startNode(t, pmd, { alias: 'a' });
  const [info] = await joined;
  assert.deepEqual(info, { nodeId: node.getNodeId(), alias: 'a', host: 'localhost', port: node.getPort() });
  const left = once(pmd, 'peer:leave');
  await node.shutdown();
  assert.deepEqual(await left, [info, 'unregistered']);
});

test('a client can ask to stop it', async (t) => {
  const pmd = await startPmd(t);
  const stopped = once(pmd, 'stopped');
  const socket = connect(pmd.port, 'localhost');
  await once(socket, 'connect');
  const text = '{"type":"shutdown","payload":{},"requestId":"req_1"}';
  const header = Buffer.alloc(4);
  header.writeUInt32BE(text.length);
  socket.write(Buffer.concat([header, Buffer.from(text)]));
  await stopped;
  assert.equal(pmd.port, 0);
  socket.destroy();
});

test('it stops by itself when that is asked for', async (t) => {
  const pmd = await startPmd(t, { autoShutdownDelay: 2_000 });
  pmd.ref();
  const [reason] = await once(pmd, 'stopped');
  assert.equal(typeof reason, 'string');
});

test('a client registers, resolves, lists, beats, watches and unregisters', async (t) => {
  assert.deepEqual(Object.values(MessageType), ['register', 'unregister', 'resolve', 'list', 'heartbeat', 'watch', 'shutdown', 'response', 'event']);
  const pmd = await startPmd(t);
  const [a, b] = [await client(t, pmd), await client(t, pmd)];
  await a.watch();
  const [joined, left] = [defer(), defer()];
  a.onPeerEvent('peer:join', joined.resolve);
  a.on('peer:leave', left.resolve);
  await b.register('id-1', 'one', 'localhost', 4000);
  const info = await joined.promise;
  assert.deepEqual(Object.keys(info), ['nodeId', 'alias', 'host', 'port', 'lastHeartbeat']);
  assert.deepEqual(await a.resolve('one'), info);
  assert.deepEqual(await a.resolve('id-1'), info);
  assert.deepEqual(await a.list(), [info]);
  await b.heartbeat('id-1');
  const taken = { code: 'alias_in_use', message: "Alias 'one' already in use" };
  await assert.rejects(a.register('id-2', 'one', 'localhost', 4001), taken);
  const missing = { code: 'node_not_found', message: 'Node not found' };
  await assert.rejects(a.resolve('nobody'), missing);
  await assert.rejects(a.heartbeat('nobody'), missing);
  await assert.rejects(a.unregister('nobody'), missing);
  await b.register('id-3', undefined, 'localhost', 4002);
  await b.unregister('id-1');
  assert.equal((await left.promise).nodeId, 'id-1');
  assert.deepEqual((await a.list()).map(({ nodeId, alias }) => [nodeId, alias]), [['id-3', undefined]]);
});

test('without a connection a client says so', async (t) => {
  const pmd = await startPmd(t);
  const fresh = new PMDClient('localhost', pmd.port);
  const gone = { name: 'DistflowError', code: 'pmd_unavailable', message: 'Not connected to PMD' };
  await assert.rejects(fresh.list(), gone);
  await fresh.connect();
  await fresh.connect();
  let told = 0;
  fresh.on('disconnect', () => (told += 1));
  fresh.disconnect();
  await assert.rejects(fresh.list(), gone);
  await fresh.connect();
  const disconnected = once(fresh, 'disconnect');
  await pmd.stop();
  await disconnected;
  assert.equal(told, 1);
  await assert.rejects(fresh.watch(), gone);
  await assert.rejects(fresh.connect(), (error) => error instanceof DistflowError && error.code === 'connection_failed');
});

async function fakePmd(t, answer) {
  const sockets = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => answer(socket, data));
  }).listen(0, 'localhost');
  await once(server, 'listening');
  t.after(() => (sockets.forEach((socket) => socket.destroy()), server.close()));
  return { port: server.address().port };
}

function frame(text) {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(Buffer.byteLength(text));
  return Buffer.concat([header, Buffer.from(text)]);
}

test('what is pending fails when the connection is lost', async (t) => {
  const pmd = await fakePmd(t, (socket) => socket.destroy());
  const lost = await client(t, pmd);
  await assert.rejects(lost.list(), { message: 'Not connected to PMD' });
});

test('a request that nobody answers times out after five seconds', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const asked = defer();
  const pmd = await fakePmd(t, () => asked.resolve());
  const waiting = await client(t, pmd);
  const answer = assert.rejects(waiting.list(), { code: 'timeout', message: 'Request timeout' });
  await asked.promise;
  t.mock.timers.tick(4999);
  t.mock.timers.tick(1);
  await answer;
});

test('frames may come in any pieces, unknown ones are ignored', async (t) => {
  const errors = t.mock.method(console, 'error', () => {});
  const pmd = await fakePmd(t, async (socket) => {
    const bytes = Buffer.concat([
      frame('not json'), frame(''), frame('null'), frame('{"type":"event","payload":{"event":"x"}}'),
      frame('{"type":"response","requestId":"req_99","payload":{}}'),
      frame('{"type":"response","requestId":"req_1","payload":{"nodes":[]}}'),
    ]);
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  const patient = await client(t, pmd);
  assert.deepEqual(await patient.list(), []);
  assert.equal(errors.mock.calls[0].arguments[0], 'Failed to parse message:');
});

test('a frame that is too long ends the connection', async (t) => {
  const pmd = await fakePmd(t, (socket) => socket.write(Buffer.from([0xff, 0, 0, 0])));
  const careful = await client(t, pmd);
  const told = once(careful, 'error');
  const disconnected = new Promise((resolve) => careful.once('disconnect', resolve));
  await assert.rejects(careful.list(), { message: 'Not connected to PMD' });
  assert.equal((await told)[0].code, 'invalid_frame');
  await disconnected;
  const small = await client(t, await startPmd(t));
  await assert.rejects(small.resolve('x'.repeat(2 << 20)), { code: 'too_large' });
});

test('transports exchange messages in order', async (t) => {
  const [a, b] = [new Transport(), new Transport()];
  t.after(() => Promise.all([a.stop(), b.stop()]));
  assert.equal(b.getPort(), 0);
  const port = await b.listen();
  assert.equal(await b.listen(), port);
  assert.equal(b.getPort(), port);
  const got = [];
  const done = defer();
  b.onMessage((payload, meta) => {
    got.push([payload, Object.keys(meta), meta.from, meta.to]);
    if (got.length === 102) done.resolve();
  });
  const sends = Array.from({ length: 100 }, (_, at) => a.send('localhost', port, 'a', 'b', at));
  await Promise.all(sends);
  await a.send('127.0.0.1', port, 'a', 'b', undefined);
  const big = 'x'.repeat(4 << 20);
  await a.send('localhost', port, 'a', 'b', big);
  await done.promise;
  const order = got.filter(([payload]) => typeof payload === 'number').map(([payload]) => payload);
  assert.deepEqual(order, Array.from({ length: 100 }, (_, at) => at));
  assert.deepEqual(got[0], [0, ['from', 'to', 'timestamp'], 'a', 'b']);
  assert.ok(got.some(([payload]) => payload === undefined) && got.some(([payload]) => payload === big));
  await assert.rejects(a.send('localhost', port, 'a', 'b', 1n), { code: 'invalid_json' });
  await assert.rejects(a.send('localhost', port, 'a', 'b', 'x'.repeat(17 << 20)), { code: 'too_large' });
  await b.stop();
  assert.equal(b.getPort(), 0);
  const refused = new Transport();
  await assert.rejects(refused.send('localhost', port, 'a', 'b', 1), (error) => error.code === 'connection_failed' && /ECONNREFUSED/.test(error.message));
});

test('on a host with only ::1 a node launches a PMD, and a transport listens', async (t) => {
  const host = 'ip link set lo up && ip addr del 127.0.0.1/8 dev lo && echo made && exec "$@"';
  const code = `
    const { NodeRuntime, PMDClient, Transport } = require('@distflow/native');
    (async () => {
      const node = await NodeRuntime.create({ alias: 'first' });
      const client = new PMDClient();
      await client.connect();
      const [a, b] = [new Transport(), new Transport()];
      const got = new Promise((resolve) => b.onMessage(resolve));
      await a.send('localhost', await b.listen(), 'a', 'b', 'hello');
      console.log(JSON.stringify([(await client.list()).map(({ alias }) => alias), await got]));
      await Promise.all([a.stop(), b.stop(), node.shutdown()]);
      await client.shutdown();
    })();`;
  const args = ['-n', 'sh', '-c', host, 'sh', process.execPath, '-e', code];
  const env = { TMPDIR: installed };
  const { stdout, stderr } = await command(t, 'unshare', args, env).ended;
  // What was not run has not passed; who can't have namespaces here says so.
  if (process.env.DISTFLOW_WITHOUT_NAMESPACES && !stdout.startsWith('made')) return t.skip(stderr);
  assert.equal(stdout, 'made\n[["first"],"hello"]\n', stderr);
});

test('a transport speaks with a node', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'node' });
  const transport = new Transport();
  t.after(() => transport.stop());
  const answered = defer();
  transport.onMessage((payload, meta) => answered.resolve([payload, meta.from]));
  const port = await transport.listen();
  const registry = await client(t, pmd);
  await registry.register('tool', 'tool', 'localhost', port);
  node.onMessage((message, meta) => node.send(meta.from, { echo: message }));
  const { host, port: nodePort, nodeId } = await registry.resolve('node');
  await transport.send(host, nodePort, 'tool', nodeId, 'hello');
  assert.deepEqual(await answered.promise, [{ echo: 'hello' }, nodeId]);
});
