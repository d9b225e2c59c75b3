// How nodes behave towards the process they are in.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { test } from 'node:test';

import { collect, program, require, startNode, startPmd, until } from './helpers.mjs';

const head = (pmd) => `
  const { NodeRuntime, PMD } = require('@distflow/native');
  const pmdPort = ${pmd.port};
`;
const leftOf = (node, alias) =>
  new Promise((resolve) => {
    node.on('peer:leave', (peer, reason) => {
      if (peer.alias === alias) resolve(reason);
    });
  });

test('a process that starts a node and shuts it down ends at once', async (t) => {
  const pmd = await startPmd(t);
  const took = [];
  // A machine that is busy elsewhere may stand still for a while, but not each time.
  while (took.length < 3 && !(took.at(-1) < 1000)) {
    const { ended } = program(t, `${head(pmd)}
      NodeRuntime.start({ pmdPort }).then((node) => node.shutdown()).then(() => {
        const from = process.hrtime.bigint();
        process.on('exit', () => console.log(Number(process.hrtime.bigint() - from) / 1e6));
      });
    `);
    const { code, stdout, stderr } = await ended;
    assert.deepEqual([code, stderr], [0, '']);
    took.push(Number(stdout));
  }
  assert.ok(took.at(-1) < 1000, `${took} ms`);
});

test('an idle node does not keep the process alive, and its end is a proper one', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher' });
  const left = leftOf(watcher, 'idle');
  const got = collect(watcher, 1000);
  const { ended } = program(t, `${head(pmd)}
    NodeRuntime.start({ pmdPort, alias: 'idle' }).then(async (node) => {
      for (let at = 0; at < 1000; at++) await node.send('watcher', at);
    });
  `);
  const { code, stderr } = await ended;
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(await left, 'unregistered');
  assert.equal((await got).at(-1)[0], 999);
});

test('a node that is listened to keeps the process alive until nobody listens any more', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher' });
  const { ended, line } = program(t, `${head(pmd)}
    NodeRuntime.start({ pmdPort, alias: 'listens' }).then((node) => {
      const answer = (text, meta) => {
        node.send(meta.from, text);
        if (text === 2) node.off('message', answer).once('peer:join', (peer) => console.log('joined', peer.alias));
      };
      node.onMessage(answer);
      console.log('ready');
    });
  `);
  await line(/ready/);
  for (const number of [1, 2]) {
    const got = collect(watcher, 1);
    await watcher.send('listens', number);
    assert.equal((await got)[0][0], number);
  }
  await startNode(t, pmd, { alias: 'late' });
  const { code, stdout, stderr } = await ended;
  assert.deepEqual([code, stdout, stderr], [0, 'ready\njoined late\n', '']);
});

test('with unref, listening does not keep the process alive', async (t) => {
  const pmd = await startPmd(t);
  const { code, stderr } = await program(t, `${head(pmd)}
    NodeRuntime.start({ pmdPort }).then((node) => {
      node.unref().onMessage(() => {});
      node.on('peer:join', () => {});
    });
  `).ended;
  assert.deepEqual([code, stderr], [0, '']);
});

test('listening for trouble alone does not keep the process alive', async (t) => {
  const pmd = await startPmd(t);
  const { code, stderr } = await program(t, `${head(pmd)}
    NodeRuntime.start({ pmdPort }).then((node) => {
      for (const event of ['pmd:lost', 'pmd:restored', 'send:failed', 'mailbox:overflow']) node.on(event, () => {});
    });
  `).ended;
  assert.deepEqual([code, stderr], [0, '']);
});

test('ref keeps the process alive, unref undoes it', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher' });
  const { ended, line } = program(t, `${head(pmd)}
    NodeRuntime.start({ pmdPort, alias: 'ref', meta: { pid: process.pid } }).then((node) => {
      node.ref();
      process.once('SIGUSR2', () => node.unref());
      console.log('ready');
    });
  `);
  await line(/ready/);
  // It is still there after several trips to the PMD and back.
  for (let trip = 0; trip < 50; trip++) {
    assert.deepEqual((await watcher.discover()).map(({ alias }) => alias), ['ref']);
  }
  process.kill(watcher.peers()[0].meta.pid, 'SIGUSR2');
  assert.equal((await ended).code, 0);
});

test('what is awaited keeps the process alive', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher' });
  const { ended, line } = program(t, `
    import { NodeRuntime } from '@distflow/native';
    const node = await NodeRuntime.start({ pmdPort: ${pmd.port}, alias: 'waits' });
    await node.discover();
    await node.send('watcher', 1);
    console.log('ready');
    for await (const { payload } of node) {
      if (payload === 'end') break;
    }
    await node.shutdown();
    console.log('after');
  `, { module: true });
  await line(/ready/);
  await watcher.send('waits', 'more');
  await watcher.send('waits', 'end');
  const { code, stdout, stderr } = await ended;
  assert.deepEqual([code, stdout, stderr], [0, 'ready\nafter\n', '']);
});

test('process.exit in a handler', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher' });
  const left = leftOf(watcher, 'exits');
  const { child, ended, line } = program(t, `${head(pmd)}
    NodeRuntime.start({ pmdPort, alias: 'exits' }).then((node) => {
      node.onMessage((n) => { if (n === 500) process.exit(7); });
      console.log('ready');
    });
  `);
  await line(/ready/);
  const lock = join(tmpdir(), `distflow-node-${child.pid}.lock`);
  assert.ok(existsSync(lock));
  for (let at = 0; at < 2000; at++) watcher.send('exits', at).catch(() => {});
  const { code, stderr } = await ended;
  assert.deepEqual([code, stderr], [7, '']);
  assert.equal(await left, 'closed');
  assert.ok(!existsSync(lock));
});

test('what was sent goes out before process.exit and before a shutdown', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher', mailbox: { overflow: 'block' } });
  const all = ['up', ...Array.from({ length: 2000 }, (_, at) => at)];
  const run = async (end) => {
    const got = [];
    const listener = (message, meta) => got.push([message, meta.from]);
    watcher.on('message', listener);
    const { code, stdout, stderr } = await program(t, `${head(pmd)}
      NodeRuntime.start({ pmdPort }).then(async (node) => {
        console.log(node.getNodeId());
        await node.send('watcher', 'up');
        for (let at = 0; at < 2000; at++) node.send('watcher', at);
        ${end};
      });
    `).ended;
    assert.deepEqual([code, stderr], [0, '']);
    const ofIt = () => got.filter(([, from]) => from === stdout.trim()).map(([message]) => message);
    return { ofIt, off: () => watcher.off('message', listener) };
  };
  const { ofIt, off } = await run('node.shutdown()');
  await until(() => ofIt().length === all.length, 'all messages');
  off();
  assert.deepEqual(ofIt(), all);
  // A thread that is writing when the process exits is not waited for: once of three times is enough.
  let complete = false;
  for (let time = 0; time < 3 && !complete; time++) {
    const { ofIt, off } = await run('process.exit()');
    complete = await until(() => ofIt().length === all.length, 'all messages').then(() => true, () => false);
    off();
    assert.deepEqual(ofIt(), all.slice(0, ofIt().length));
  }
  assert.ok(complete);
});

test('what a listener throws is an uncaughtException; the others still run', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher' });
  const { ended, line } = program(t, `${head(pmd)}
    const caught = [];
    process.on('uncaughtException', (error) => caught.push(error.message));
    NodeRuntime.start({ pmdPort, alias: 'throws' }).then((node) => {
      const seen = [];
      node.onMessage((n) => { throw new Error('first ' + n); });
      node.onMessage((n) => {
        seen.push(n);
        if (n === 2) setImmediate(() => {
          console.log(JSON.stringify([seen, caught]));
          node.shutdown();
        });
      });
      node.on('peer:leave', () => { throw new Error('leave'); });
      node.on('peer:leave', () => seen.push('left'));
      process.on('exit', () => console.log(JSON.stringify([seen.at(-1), caught.at(-1)])));
      console.log('ready');
      node.ref();
    });
  `);
  await line(/ready/);
  for (const n of [1, 2]) await watcher.send('throws', n);
  const { code, stdout } = await ended;
  assert.equal(code, 0);
  assert.deepEqual(stdout.split('\n').slice(1, 3), ['[[1,2],["first 1","first 2"]]', '["left","leave"]']);
});

test('without a handler for it, that ends the process', async (t) => {
  const pmd = await startPmd(t);
  const { code, stderr } = await program(t, `${head(pmd)}
    NodeRuntime.start({ pmdPort, alias: 'self' }).then((node) => {
      node.onMessage(() => { throw new Error('nobody catches this'); });
      node.send('self', 1);
    });
  `).ended;
  assert.equal(code, 1);
  assert.match(stderr, /nobody catches this/);
});

const workerCode = (pmd) => JSON.stringify(`
  const { NodeRuntime } = require('@distflow/native');
  const { parentPort, workerData } = require('node:worker_threads');
  NodeRuntime.create({ pmdPort: ${pmd.port}, alias: workerData.alias, mailbox: { overflow: 'block' } }).then((node) => {
    node.ref();
    let count = 0;
    node.onMessage((message, meta) => {
      count += 1;
      if (count === 100) parentPort.postMessage('streaming');
      node.send(meta.from, message).catch(() => {});
    });
    parentPort.postMessage('ready');
  });
`);

test('worker threads are terminated in the middle of a stream', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher' });
  const gone = new Set();
  watcher.on('peer:leave', (peer) => gone.add(peer.alias));
  const workers = 50;
  const { ended } = program(t, `
    const { Worker } = require('node:worker_threads');
    const { NodeRuntime } = require('@distflow/native');
    const one = (alias) => new Promise(async (resolve) => {
      const worker = new Worker(${workerCode(pmd)}, { eval: true, workerData: { alias } });
      const sender = await NodeRuntime.create({ pmdPort: ${pmd.port}, mailbox: { overflow: 'drop-oldest' } });
      sender.onMessage(() => {});
      let sending = true;
      worker.on('message', async (text) => {
        if (text === 'streaming') { await worker.terminate(); sending = false; return; }
        while (sending) {
          for (let at = 0; at < 50; at++) sender.send(alias, { at }).catch(() => {});
          await new Promise((done) => setImmediate(done));
        }
        await sender.shutdown();
        resolve();
      });
    });
    (async () => {
      for (let round = 0; round < ${workers}; round += 2) {
        await Promise.all([one('w' + round), one('w' + (round + 1))]);
      }
      console.log('all ended');
    })();
  `);
  const { code, stdout, stderr } = await ended;
  assert.deepEqual([code, stdout, stderr], [0, 'all ended\n', '']);
  // Their connections end when native threads do, and the PMD tells the watcher then.
  const aliases = Array.from({ length: workers }, (_, at) => `w${at}`);
  await until(() => aliases.every((alias) => gone.has(alias)), 'the leave of each worker');
});

test('worker threads terminated while they start leave no node', async (t) => {
  const pmd = await startPmd(t);
  const { ended } = program(t, `
    const { Worker } = require('node:worker_threads');
    (async () => {
      for (let round = 0; round < 20; round++) {
        const worker = new Worker(${JSON.stringify(`
          const { NodeRuntime } = require('@distflow/native');
          NodeRuntime.create({ pmdPort: ${pmd.port} });
          require('node:worker_threads').parentPort.postMessage('begun');
        `)}, { eval: true });
        await new Promise((resolve) => worker.once('message', resolve));
        if (round % 2) await new Promise((resolve) => setImmediate(resolve));
        await worker.terminate();
      }
      const { NodeRuntime } = require('@distflow/native');
      const node = await NodeRuntime.start({ pmdPort: ${pmd.port} });
      while ((await node.discover()).length > 0) await new Promise((done) => setImmediate(done));
      await node.shutdown();
      console.log('alone');
    })();
  `);
  const { code, stdout, stderr } = await ended;
  assert.deepEqual([code, stdout, stderr], [0, 'alone\n', '']);
});

test('a worker thread with a node ends by itself', async (t) => {
  const { Worker } = await import('node:worker_threads');
  const pmd = await startPmd(t);
  const worker = new Worker(
    `const { NodeRuntime } = require(${JSON.stringify(require.resolve('@distflow/native'))});
     NodeRuntime.create({ pmdPort: ${pmd.port} }).then((node) => node.discover());`,
    { eval: true },
  );
  assert.deepEqual(await once(worker, 'exit'), [0]);
  assert.deepEqual(await pmd.nodes(), []);
});

test('after Worker.terminate the process can have its one node', async (t) => {
  const { Worker } = await import('node:worker_threads');
  const pmd = await startPmd(t);
  const path = JSON.stringify(require.resolve('@distflow/native'));
  const worker = new Worker(
    `const { NodeRuntime } = require(${path});
     NodeRuntime.start({ pmdPort: ${pmd.port} }).then((node) => {
       node.ref();
       require('node:worker_threads').parentPort.postMessage('started');
     });`,
    { eval: true },
  );
  await once(worker, 'message');
  await worker.terminate();
  const { NodeRuntime } = require('@distflow/native');
  // The former one is being ended on its own threads.
  let node;
  while (!node) {
    node = await NodeRuntime.start({ pmdPort: pmd.port }).catch((error) => {
      assert.equal(error.code, 'already_running');
      return undefined;
    });
  }
  await node.shutdown();
});

test('a process that is killed leaves with its socket', async (t) => {
  const pmd = await startPmd(t);
  const watcher = await startNode(t, pmd, { alias: 'watcher' });
  const left = leftOf(watcher, 'victim');
  const { child, line } = program(t, `${head(pmd)}
    NodeRuntime.start({ pmdPort, alias: 'victim' }).then((node) => { node.ref(); console.log('ready'); });
  `);
  await line(/ready/);
  child.kill('SIGKILL');
  assert.equal(await left, 'closed');
});

test('an embedded PMD keeps the process alive until unref', async (t) => {
  const run = (unref) => program(t, `
    const { PMD } = require('@distflow/native');
    const pmd = new PMD({ port: 0 });
    pmd.start().then(() => { ${unref} console.log('port', pmd.port); });
  `);
  const idle = await run('pmd.unref();').ended;
  assert.deepEqual([idle.code, idle.stderr], [0, '']);
  const serving = run('');
  const port = Number((await serving.line(/port \d+/)).slice('port '.length));
  for (let node = 0; node < 20; node++) await startNode(t, { port });
  serving.child.kill();
  assert.equal((await serving.ended).signal, 'SIGTERM');
});

test('two hundred nodes made and forgotten', async (t) => {
  const pmd = await startPmd(t);
  const { code, stderr } = await program(t, `${head(pmd)}
    (async () => {
      for (let at = 0; at < 200; at++) await NodeRuntime.create({ pmdPort });
    })();
  `).ended;
  assert.deepEqual([code, stderr], [0, '']);
});
