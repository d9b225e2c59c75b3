// A host that closes descriptors that are the package's, as programs that become daemons do.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { command, installed, program } from './helpers.mjs';

async function startBroker(t) {
  const file = join(installed, 'node_modules/@distflow/native/bin/distflow');
  const broker = command(t, file, ['broker', 'start', '--mqtt-port', '0']);
  const started = await broker.line(/^Broker started on /);
  return `mqtt://${started.slice('Broker started on '.length)}`;
}

// Whichever call is the first afterwards: `first` rotates them.
const code = `
  const { closeSync, fstatSync, mkdtempSync, openSync, readdirSync } = require('node:fs');
  const { join } = require('node:path');
  const { JSONCrdt, NodeRuntime, PMD, SessionManager } = require('@distflow/native');
  const [broker, silent, first] = process.argv.slice(1);
  // Without that of the folder itself, which is closed by then.
  const descriptors = () =>
    readdirSync('/proc/self/fd').map(Number).filter((number) => {
      try {
        return fstatSync(number);
      } catch {
        return false;
      }
    });
  const said = (promise) => {
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, 30_000, 'no end')));
    const end = promise.then(() => 'ok', (error) => error.code);
    return Promise.race([end, late]).finally(() => clearTimeout(timer));
  };

  // It ends by itself, or has failed.
  setTimeout(() => process.exit(9), 60_000).unref();

  (async () => {
    // What is Node's is open already.
    const before = new Set(descriptors());
    const pmd = new PMD({ port: 0 });
    await pmd.start();
    const node = await NodeRuntime.create({ alias: 'node', pmdPort: pmd.port, autoStart: false });
    const other = await NodeRuntime.create({ alias: 'other', pmdPort: pmd.port, autoStart: false });
    other.on('message', () => {});
    await node.send('other', 1);
    const directory = mkdtempSync('descriptors-');
    const kept = new JSONCrdt('kept', {}, { directory });
    kept.set('before', 1);
    const memory = new JSONCrdt('memory');
    const manager = new SessionManager(broker);
    const session = await manager.create({});
    const list = await manager.list();
    // Under way, and without an answer for as long as this runs.
    const silently = new SessionManager(silent, { connectTimeoutMs: 600_000 });
    const pending = silently.create({});
    pending.catch(() => {});
    await new Promise((connected) => process.stdin.once('data', connected));

    const closed = descriptors().filter((number) => !before.has(number));
    for (const number of closed) closeSync(number);
    if (closed.length < 15) throw new Error('closed only ' + closed);
    const files = Array.from({ length: 100 }, (_, at) => openSync(join(directory, 'host' + at), 'w'));
    if (!closed.every((number) => files.includes(number))) throw new Error(closed + ' of ' + files);

    const calls = {
      send: () => node.send('other', 2),
      discover: () => node.discover(),
      set: async () => kept.set('after', 1),
      flush: () => kept.flush(),
      publish: () => session.publish('move', 'x'),
      reserve: () => session.reserve('player'),
      nodes: () => pmd.nodes(),
    };
    const names = Object.keys(calls);
    const results = {};
    for (const at of names.keys()) {
      const name = names[(at + Number(first)) % names.length];
      results[name] = await said(calls[name]());
    }
    results.pending = await said(pending);
    memory.set('after', 1);
    results.memory = memory.get('after');
    const ends = {
      leave: () => session.leave(),
      list: async () => list.close(),
      close: async () => kept.close(),
      shutdown: () => Promise.all([node.shutdown(), other.shutdown()]),
      stop: () => pmd.stop(),
    };
    for (const [name, end] of Object.entries(ends)) results[name] = await said(end());

    // Nothing was written into files of the host's, and none was closed.
    results.written = files.filter((file) => fstatSync(file).size > 0);
    for (const file of files) closeSync(file);

    // What is opened from here on works.
    const again = new PMD({ port: 0 });
    await again.start();
    const late = await NodeRuntime.create({ alias: 'late', pmdPort: again.port, autoStart: false });
    const got = new Promise((resolve) => late.on('message', resolve));
    await late.send('late', 'works');
    results.again = await got;
    const game = await manager.create({});
    await game.publish('move', 'x');
    await game.leave();
    const reopened = new JSONCrdt('kept', {}, { directory });
    results.reopened = reopened.get('before');
    reopened.close();
    await late.shutdown();
    await again.stop();
    console.log(JSON.stringify(results));
  })();`;

const expected = {
  send: 'closed',
  discover: 'closed',
  set: 'closed',
  flush: 'closed',
  publish: 'closed',
  reserve: 'closed',
  nodes: 'closed',
  pending: 'closed',
  memory: 1,
  leave: 'ok',
  list: 'ok',
  close: 'ok',
  shutdown: 'ok',
  stop: 'ok',
  written: [],
  again: 'works',
  reopened: 1,
};

const whenLinux = { skip: process.platform !== 'linux' && 'there is no /proc' };

test('descriptors are closed by the host', whenLinux, async (t) => {
  const broker = await startBroker(t);
  for (let first = 0; first < 7; first += 1) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const args = [broker, `mqtt://127.0.0.1:${server.address().port}`, String(first)];
    const { child, ended } = program(t, code, { args });
    server.once('connection', (socket) => {
      t.after(() => socket.destroy());
      socket.on('error', () => {});
      child.stdin.end('connected\n');
    });
    const { code: status, signal, stdout, stderr } = await ended;
    assert.equal(`${status} ${signal}`, '0 null', stderr);
    assert.deepEqual(JSON.parse(stdout), expected, `first ${first}: ${stderr}`);
  }
});
