// The heap stays flat over a million messages.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { program, startPmd } from './helpers.mjs';

test('a million messages leave nothing on the heap', async (t) => {
  const pmd = await startPmd(t);
  const { code, stdout, stderr } = await program(t, `
    const { NodeRuntime } = require('@distflow/native');
    const pmdPort = ${pmd.port};
    (async () => {
      const options = { pmdPort, mailbox: { overflow: 'block' } };
      const a = await NodeRuntime.create({ ...options, alias: 'a' });
      const b = await NodeRuntime.create({ ...options, alias: 'b' });
      const told = [];
      for (const node of [a, b]) {
        for (const event of ['pmd:lost', 'pmd:restored', 'send:failed', 'mailbox:overflow']) {
          node.on(event, (...args) => told.push([node.getAlias(), event, ...args]));
        }
      }
      let [got, wanted, enough] = [0, 0, () => {}];
      b.onMessage((message) => {
        if (message.at !== got) {
          console.error('expected', got, 'got', message.at, a.stats(), b.stats(), told);
          process.exit(1);
        }
        got += 1;
        if (got === wanted) enough();
      });
      const run = async (count) => {
        const all = new Promise((resolve) => (enough = resolve));
        wanted = got + count;
        for (let at = got; at < wanted; at++) {
          const sent = a.send('b', { at, text: 'some text' });
          // The loop gets a turn now and then, as in any program.
          if (at % 500 === 0) { await sent; await new Promise((done) => setImmediate(done)); }
        }
        await all;
        gc(); gc();
        return process.memoryUsage();
      };
      a.ref();
      await run(100_000);
      const before = await run(100_000);
      const after = await run(1_000_000);
      console.log(JSON.stringify({ heap: after.heapUsed - before.heapUsed, rss: after.rss - before.rss }));
      await a.shutdown();
      await b.shutdown();
    })();
  `, { nodeArgs: ['--expose-gc'] }).ended;
  assert.equal(code, 0, stderr);
  const { heap, rss } = JSON.parse(stdout);
  assert.ok(heap < 1 << 20, `the heap grew by ${heap} bytes`);
  assert.ok(rss < 64 << 20, `the process grew by ${rss} bytes`);
});
