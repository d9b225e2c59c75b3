// `NodeRuntime.start`: one node a process.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { test } from 'node:test';

import { distflow, installed, program, require, startPmd } from './helpers.mjs';

const { NodeRuntime } = distflow;
const lockFile = join(tmpdir(), `distflow-node-${process.pid}.lock`);

test('there is one, concurrent starts share it, and a shutdown makes room', async (t) => {
  const pmd = await startPmd(t);
  const options = { alias: 'one', pmdPort: pmd.port };
  const [a, b] = await Promise.all([NodeRuntime.start(options), NodeRuntime.start(options)]);
  const c = await NodeRuntime.start({ alias: 'ignored' });
  assert.ok(a === b && b === c);
  assert.equal(c.getAlias(), 'one');
  assert.ok(existsSync(lockFile));
  const id = a.getNodeId();
  const closing = a.shutdown();
  // Waits for the end of the former.
  const next = await NodeRuntime.start(options);
  await closing;
  assert.notEqual(next, a);
  assert.notEqual(next.getNodeId(), id);
  await next.shutdown();
  assert.ok(!existsSync(lockFile));
});

test('a start that fails leaves nothing behind', async (t) => {
  const pmd = await startPmd(t);
  const holder = await NodeRuntime.create({ alias: 'held', pmdPort: pmd.port });
  t.after(() => holder.shutdown());
  const failing = () => NodeRuntime.start({ alias: 'held', pmdPort: pmd.port });
  await assert.rejects(failing(), { message: "Alias 'held' already in use" });
  await assert.rejects(failing(), { message: "Alias 'held' already in use" });
  assert.ok(!existsSync(lockFile));
  await assert.rejects(NodeRuntime.start({ pmdPort: -1 }), { code: 'invalid_argument' });
  const node = await NodeRuntime.start({ pmdPort: pmd.port });
  await node.shutdown();
});

test('an abort ends only the wait of who asked, unless nobody else waits', async (t) => {
  const pmd = await startPmd(t);
  const abort = new AbortController();
  const options = { pmdPort: pmd.port };
  const mine = NodeRuntime.start({ ...options, signal: abort.signal });
  const others = NodeRuntime.start(options);
  abort.abort();
  await assert.rejects(mine, { code: 'aborted' });
  await (await others).shutdown();

  const alone = new AbortController();
  const given = NodeRuntime.start({ ...options, signal: alone.signal });
  alone.abort();
  await assert.rejects(given, { code: 'aborted' });
  const next = await NodeRuntime.start(options);
  assert.equal(next.isRegistered(), true);
  await next.shutdown();
  await assert.rejects(NodeRuntime.start({ ...options, signal: alone.signal }), { code: 'aborted' });
});

test('loaded twice, there is still one', async (t) => {
  const pmd = await startPmd(t);
  const node = await NodeRuntime.start({ pmdPort: pmd.port });
  const folder = join(installed, 'node_modules/@distflow/native/dist');
  for (const file of Object.keys(require.cache)) {
    if (file.startsWith(folder)) delete require.cache[file];
  }
  const again = require('@distflow/native');
  assert.notEqual(again.NodeRuntime, NodeRuntime);
  assert.equal(await again.NodeRuntime.start(), node);
  assert.equal(again.getLogger(), distflow.getLogger());
  await node.shutdown();
  const next = await again.NodeRuntime.start({ pmdPort: pmd.port });
  assert.equal(await NodeRuntime.start(), next);
  await next.shutdown();
});

test('CommonJS and ESM have the same classes', async (t) => {
  const { stdout, stderr } = await program(t, `
    import { createRequire } from 'node:module';
    import * as esm from '@distflow/native';
    import { JSONCrdt } from '@distflow/native/json-crdt';
    import { Mailbox } from '@distflow/native/mailbox';
    import { Logger } from '@distflow/native/logger';
    import { PMD } from '@distflow/native/pmd';
    import { PMDClient } from '@distflow/native/pmd-client';
    import { Transport } from '@distflow/native/transport';
    const cjs = createRequire(process.cwd() + '/x.js')('@distflow/native');
    const same = { JSONCrdt, Mailbox, Logger, PMD, PMDClient, Transport, NodeRuntime: esm.NodeRuntime };
    for (const [name, value] of Object.entries(same)) {
      if (value !== cjs[name] || value !== esm[name]) throw new Error(name);
    }
    console.log(Object.keys(esm).filter((name) => /^[A-Za-z]/.test(name) && name !== 'default').sort().join());
  `, { module: true }).ended;
  assert.equal(
    stdout.trim().replace(/,module\.exports/, ''),
    'DistflowError,JSONCrdt,LogLevel,Logger,Mailbox,MessageType,NodeRuntime,PMD,PMDClient,Session,SessionList,SessionManager,Transport,compareHlc,configureLogger,createTransport,getLogger,isCausallyReady,vcTick,version',
    stderr,
  );
});

test('a second one in a worker thread is refused', async (t) => {
  const { Worker } = await import('node:worker_threads');
  const pmd = await startPmd(t);
  const node = await NodeRuntime.start({ pmdPort: pmd.port });
  const worker = new Worker(
    `const { NodeRuntime } = require(${JSON.stringify(require.resolve('@distflow/native'))});
     const { parentPort } = require('node:worker_threads');
     NodeRuntime.start({ pmdPort: ${pmd.port} }).catch((error) =>
       parentPort.postMessage([error.code, error.message]));`,
    { eval: true },
  );
  const [message] = await once(worker, 'message');
  assert.deepEqual(message, ['already_running', 'Node already running in this process']);
  await worker.terminate();
  await node.shutdown();
});
