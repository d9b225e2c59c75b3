// What the tests and examples of the original packages rely on, as programs of users are written.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { command, freePort, installed, program, startPmd } from './helpers.mjs';

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
