// What the tests and examples of the original packages rely on, as programs of users are written.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { command, distflow, freePort, installed, program, require, startPmd } from './helpers.mjs';

const cli = join(installed, 'node_modules/.bin/distflow');

test('integration: a PMD of its own process, two nodes, messages, discovery, leaves', async (t) => {
  const daemon = command(t, process.execPath, [cli, 'pmd', 'start', '--port', '0']);
  const port = Number((await daemon.line(/^PMD started on port \d+/)).match(/\d+$/)[0]);
  const echo = program(t, `
    const { NodeRuntime } = require('@distflow/native');
    NodeRuntime.start({ alias: 'echo', pmdPort: ${port}, mailbox: { maxSize: 100, overflow: 'drop-newest' } }).then((node) => {
      node.onMessage((message, meta) => {
        node.send(meta.from, { type: 'PONG', original: message });
        if (message.last) node.shutdown();
      });
      console.log('ready', node.getNodeId(), node.getAlias());
    });
  `);
  const id = (await echo.line(/^ready/)).split(' ')[1];
  const asker = program(t, `
    const { NodeRuntime } = require('@distflow/native');
    (async () => {
      const node = await NodeRuntime.start({ alias: 'asker', pmdPort: ${port} });
      const left = new Promise((resolve) => node.on('peer:leave', resolve));
      const answers = [];
      const both = new Promise((resolve) => node.onMessage((message, meta) => {
        answers.push([message, meta.from]);
        if (answers.length === 2) resolve();
      }));
      console.log(JSON.stringify((await node.discover()).map((peer) => [peer.alias, peer.nodeId])));
      await node.send('echo', { type: 'PING' });
      await node.send('${id}', { type: 'PING', last: true });
      await both;
      console.log(JSON.stringify(answers), (await left).alias);
      await node.shutdown();
    })();
  `);
  const { code, stdout, stderr } = await asker.ended;
  assert.deepEqual([code, stderr], [0, '']);
  const lines = stdout.split('\n');
  assert.deepEqual(JSON.parse(lines[0]), [['echo', id]]);
  assert.equal(lines[1], `[[{"type":"PONG","original":{"type":"PING"}},"${id}"],[{"type":"PONG","original":{"type":"PING","last":true}},"${id}"]] echo`);
  assert.equal((await echo.ended).code, 0);
  daemon.child.kill('SIGTERM');
  const ended = await daemon.ended;
  assert.deepEqual([ended.code, ended.signal], [0, null]);
  assert.match(ended.stdout, /Shutting down PMD\.\.\.\nPMD stopped\n$/);
});

test('persistent socket: three starts are one, and after shutdown discover fails', async (t) => {
  const pmd = await startPmd(t);
  const { code, stdout } = await program(t, `
    const { NodeRuntime } = require('@distflow/native');
    (async () => {
      const options = { alias: 'persistent', pmdPort: ${pmd.port} };
      const nodes = [await NodeRuntime.start(options), await NodeRuntime.start(options), await NodeRuntime.start()];
      console.log(new Set(nodes).size);
      await nodes[0].shutdown();
      await nodes[0].discover().catch((error) => console.log(error.message));
    })();
  `).ended;
  assert.deepEqual([code, stdout], [0, '1\nNode not started\n']);
});

test('graceful shutdown: nothing is complained of, also the second time', async (t) => {
  const pmd = await startPmd(t);
  const { code, stdout, stderr } = await program(t, `
    const { NodeRuntime } = require('@distflow/native');
    process.on('SIGTERM', async () => {
      const node = await NodeRuntime.start();
      await node.shutdown();
      await node.shutdown();
      console.log('gone');
    });
    NodeRuntime.start({ alias: 'graceful', pmdPort: ${pmd.port} }).then((node) => {
      node.ref();
      process.kill(process.pid, 'SIGTERM');
    });
  `).ended;
  assert.deepEqual([code, stdout, stderr], [0, 'gone\n', '']);
  assert.deepEqual(await pmd.nodes(), []);
});

test('the PMD is launched by the first node, as the small executable, and ends by itself', async (t) => {
  const port = await freePort();
  const { code, stderr } = await program(t, `
    const { NodeRuntime, PMDClient } = require('@distflow/native');
    (async () => {
      const node = await NodeRuntime.start({ alias: 'first', pmdPort: ${port}, pmdAutoShutdownMs: 3_000, startTimeoutMs: 30_000 });
      const client = new PMDClient('localhost', ${port});
      await client.connect();
      if ((await client.list())[0].alias !== 'first') throw new Error('not registered');
      const gone = new Promise((resolve) => client.on('disconnect', resolve));
      await node.shutdown();
      await gone;
    })();
  `).ended;
  assert.deepEqual([code, stderr], [0, '']);
  const socket = connect(port, 'localhost');
  const [error] = await once(socket, 'error');
  assert.match(JSON.stringify([error.code, error.errors?.map(({ code }) => code)]), /ECONNREFUSED/);
});

test('logger: named loggers and children', async (t) => {
  const { code, stdout } = await program(t, `
    const { getLogger, configureLogger, LogLevel } = require('@distflow/native/dist/logger.js');
    const logger = getLogger('quick-test');
    logger.info('hello', { n: 1 });
    logger.child({ requestId: 'r1' }).warn('careful');
    configureLogger({ level: LogLevel.ERROR, prettyPrint: false, name: 'x' });
    logger.warn('not shown');
    logger.error('failed', new Error('why'));
  `, { env: { NODE_ENV: 'production', LOG_LEVEL: '' } }).ended;
  assert.equal(code, 0);
  const entries = stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(entries.map(({ message, context }) => [message, context]), [
    ['hello', { component: 'quick-test' }],
    ['careful', { component: 'quick-test', requestId: 'r1' }],
    ['failed', { component: 'quick-test' }],
  ]);
  assert.equal(entries[2].error, 'why');
});

test('the PMD package by its paths: its program, its words, and its registry', async (t) => {
  const dist = (name) => require.resolve(`@distflow/native/dist/${name}.js`);
  const daemon = command(t, process.execPath, [dist('cli'), '--port', '0']);
  const port = Number((await daemon.line(/^PMD started on port \d+/)).match(/\d+$/)[0]);
  daemon.child.kill('SIGTERM');
  assert.ok(port > 0);
  assert.equal((await daemon.ended).code, 0);
  const { MessageType } = require(dist('types'));
  assert.equal(MessageType.SHUTDOWN, 'shutdown');
  assert.equal(require(dist('pmd-client')).MessageType, MessageType);
  assert.equal(require(dist('node-runtime')).NodeRuntime, distflow.NodeRuntime);

  const pmd = await startPmd(t);
  assert.deepEqual(pmd.getRegistry(), []);
  const joined = once(pmd, 'peer:join');
  const node = await distflow.NodeRuntime.create({ pmdPort: pmd.port, alias: 'a' });
  await joined;
  const [info] = pmd.getRegistry();
  assert.deepEqual(
    { ...info, lastHeartbeat: typeof info.lastHeartbeat },
    { nodeId: node.getNodeId(), alias: 'a', host: 'localhost', port: node.getPort(), lastHeartbeat: 'number' },
  );
  const left = once(pmd, 'peer:leave');
  await node.shutdown();
  await left;
  assert.deepEqual(pmd.getRegistry(), []);
});

test('the functions of clocks', () => {
  const { compareHlc, isCausallyReady, vcTick } = distflow;
  assert.deepEqual(
    [[1, 5, 'b'], [2, 0, 'a'], [2, 1, 'a'], [2, 1, 'b']].map(([t, c, r]) => compareHlc({ t: 2, c: 1, r: 'a' }, { t, c, r }) > 0),
    [true, true, false, false],
  );
  assert.equal(compareHlc({ t: 2, c: 1, r: 'a' }, { t: 2, c: 1, r: 'a' }), 0);
  // In UTF-16, the first would be the later one.
  assert.ok(compareHlc({ t: 1, c: 1, r: '\uffff' }, { t: 1, c: 1, r: '\u{10000}' }) < 0);
  const clock = { a: 1 };
  assert.deepEqual([vcTick(clock, 'a'), vcTick(clock, 'b'), clock], [{ a: 2 }, { a: 1, b: 1 }, { a: 1 }]);
  const op = (deps) => ({ src: 'a', deps });
  assert.deepEqual(
    [{ a: 2 }, { a: 1 }, { a: 3 }, { a: 2, b: 1 }, { a: 2, b: 0 }, {}].map((deps) => isCausallyReady(clock, op(deps))),
    [true, false, false, false, true, false],
  );
});

test('a deleted path is none that was modified', () => {
  const document = new distflow.JSONCrdt('r');
  document.set(['kept'], 1);
  document.set(['gone'], 1);
  const before = document.snapshot();
  document.set(['kept'], 2);
  document.del(['gone']);
  const { lwwChanges, tombstoneChanges } = distflow.JSONCrdt.diffSnapshots(before, document.snapshot());
  assert.deepEqual(lwwChanges.modified, ['.kept']);
  assert.deepEqual(tombstoneChanges, { added: ['.gone'], removed: [] });
});
