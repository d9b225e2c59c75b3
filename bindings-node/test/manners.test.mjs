// What a program is told: of options that do not exist, of a node that is not the one it asked for, of who
// waited for what failed, and by console.log.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';

import { distflow, program, startNode, startPmd } from './helpers.mjs';

const { JSONCrdt, NodeRuntime, PMD, PMDClient, SessionManager } = distflow;

test('an option that does not exist is named, with those that do', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'node' });
  const pmdPort = pmd.port;
  const invalid = (message) => ({ code: 'invalid_argument', message });
  await assert.rejects(NodeRuntime.create({ pmdPort, aliass: 'a' }), invalid(/^there is no option aliass; there are alias, nodeId,/));
  await assert.rejects(NodeRuntime.start({ pmdPort, Alias: 'a' }), invalid(/^there is no option Alias;/));
  await assert.rejects(NodeRuntime.create({ pmdPort, mailbox: { size: 1 } }), invalid(/^there is no option mailbox\.size; there are maxSize,/));
  await assert.rejects(node.send('node', 1, { timeout: 5 }), invalid(/^there is no option timeout; there are signal, timeoutMs$/));
  await assert.rejects(node.discover({ alias: 'n' }), invalid(/^there is no option alias; there are prefix,/));
  await assert.rejects(new PMD({ prot: 1 }).start(), invalid(/^there is no option prot;/));
  assert.throws(() => new JSONCrdt('r', {}, { maxlogSize: 1 }), invalid(/maxlogSize/));
  assert.throws(() => new SessionManager('mqtt://localhost', { usr: 'a' }), invalid(/usr/));
  await assert.rejects(new SessionManager('mqtt://localhost').create({ playerMax: 3 }), invalid(/playerMax/));
  // One that is not given is none.
  const other = await NodeRuntime.create({ pmdPort, aliass: undefined, mailbox: { size: undefined } });
  await other.shutdown();
});

test('a start that gives another node than was asked for says so', async (t) => {
  const pmd = await startPmd(t);
  const { code, stdout, stderr } = await program(t, `
    const { NodeRuntime } = require('@distflow/native');
    (async () => {
      const a = await NodeRuntime.start({ alias: 'a', pmdPort: ${pmd.port} });
      await NodeRuntime.start();
      await NodeRuntime.start({ alias: 'a' });
      console.log((await NodeRuntime.start({ alias: 'b' })) === a);
      await a.shutdown();
    })();
  `).ended;
  assert.deepEqual([code, stdout], [0, 'true\n']);
  assert.deepEqual(stderr.match(/DistflowWarning: .*/g), [
    "DistflowWarning: start({ alias: 'b' }) gives the node of this process, whose alias is 'a'; NodeRuntime.create makes a node of its own",
  ]);
  assert.match(stderr, /DISTFLOW_SAME_NODE/);
});

test('the stack of a failure leads to who waited for it', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, {});
  const calls = {
    async sends() { await node.send('nobody', 1); },
    async sendsWithin() { await node.send('nobody', 1, { timeoutMs: 60_000 }); },
    async sendsTooLate() { await node.send('nobody', 1, { timeoutMs: 0 }); },
    async startsTaken() { await NodeRuntime.create({ pmdPort: pmd.port, nodeId: node.getNodeId() }); },
    async startsShared() { await NodeRuntime.start({ pmdPort: pmd.port, nodeId: node.getNodeId() }); },
    async starts() { await new PMD({ port: pmd.port }).start(); },
  };
  for (const [name, call] of Object.entries(calls)) {
    await assert.rejects(call(), (error) => {
      assert.match(error.stack, new RegExp(`\\b${name}\\b`), `${name}: ${error.stack}`);
      assert.match(error.stack, new RegExp(error.message.slice(0, 20)));
      return true;
    });
  }
});

test('console.log shows what is worth knowing', async (t) => {
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'shown', nodeId: 'an-id' });
  const options = { breakLength: Infinity };
  assert.equal(
    inspect(node, options),
    `NodeRuntime { alias: 'shown', nodeId: 'an-id', port: ${node.getPort()}, state: 'registered', ` +
      'stats: { sent: 0, delivered: 0, dropped: 0, waiting: 0 } }',
  );
  assert.equal(inspect([[[node]]], { depth: 1 }), '[ [ [Array] ] ]');
  await node.shutdown();
  assert.match(inspect(node, options), /state: 'closed'/);
  const document = new JSONCrdt('r', { a: 1 });
  document.set(['b'], 2);
  assert.match(inspect(document, options), /^JSONCrdt \{ replica: 'r', clock: \{ .*: 1 \}, value: \{ a: 1, b: 2 \} \}$/);
  document.close();
  assert.equal(inspect(document), "JSONCrdt { replica: 'r', state: 'closed' }");
  assert.equal(inspect(pmd), `PMD { port: ${pmd.port}, state: 'serving' }`);
  assert.equal(inspect(new PMDClient('localhost', 1)), "PMDClient { host: 'localhost', port: 1, isConnected: false }");
});

test('a subclass starts as one of its own', async (t) => {
  const pmd = await startPmd(t);
  class Ring extends NodeRuntime {
    size = 1;
    constructor(key) {
      super(key);
      this.on('peer:join', () => (this.size += 1));
    }
    static async open(options) {
      const ring = new Ring();
      await ring.initialize(options);
      return ring;
    }
  }
  const one = await Ring.create({ pmdPort: pmd.port, alias: 'one' });
  t.after(() => one.shutdown());
  assert.ok(one instanceof Ring && one instanceof NodeRuntime);
  const joined = new Promise((resolve) => one.once('peer:join', resolve));
  const two = await Ring.open({ pmdPort: pmd.port, alias: 'two' });
  await joined;
  assert.equal(one.size, 2);
  assert.ok(two instanceof Ring);
  await assert.rejects(two.initialize({ pmdPort: pmd.port }), { code: 'already_running' });
  await two.shutdown();
  const single = await Ring.start({ pmdPort: pmd.port });
  assert.ok(single instanceof Ring);
  assert.equal(await NodeRuntime.start(), single);
  await assert.rejects(class Other extends NodeRuntime {}.start(), { code: 'already_running' });
  await single.shutdown();
  // One that was never started says so, and one that has ended is closed.
  const never = { code: 'not_started', message: 'Node not started' };
  await assert.rejects(new Ring().send('one', 1), never);
  await assert.rejects(new Ring().discover(), never);
  await assert.rejects(single.send('one', 1), { code: 'closed', message: 'Node not started' });
  assert.throws(() => new NodeRuntime(), { code: 'invalid_argument' });
});
