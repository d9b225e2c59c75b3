// A process that makes and ends documents, nodes, sessions and lists stays as small as it was. COLLECTED is how
// many are made of each; 10,000 take some minutes.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { head, lists, nodes, sessions, url } from './collecting.mjs';
import { program, startPmd } from './helpers.mjs';

const COUNT = Number(process.env.COLLECTED ?? 400);
/** What a process may grow by when one more is made and ended. */
const BYTES_EACH = 2_000;
/** What it may grow by in any case: allocators keep some. */
const BYTES_ALL = 24 << 20;

/** Bytes that a process grew by over the last of `count` calls of `one`, and the count of those. */
async function growth(t, one, count) {
  const pmd = await startPmd(t);
  const rest = count - (count >> 1);
  const { code, stdout, stderr } = await program(t, `${head}
    const [pmdPort, url] = ${JSON.stringify([pmd.port, url])};
    const manager = new SessionManager(url);
    (async () => {
      await many(${count >> 1}, 8, ${one});
      await collect();
      const before = process.memoryUsage();
      await many(${rest}, 8, ${one});
      const left = await collect();
      const after = process.memoryUsage();
      console.log(JSON.stringify([left, after.rss - before.rss, after.heapUsed - before.heapUsed]));
    })();
  `, { nodeArgs: ['--expose-gc'] }).ended;
  assert.deepEqual([code, stderr], [0, '']);
  const [remaining, rss, heap] = JSON.parse(stdout);
  assert.equal(remaining, 0);
  t.diagnostic(`${rest} more: ${rss} bytes resident, ${heap} of the heap`);
  assert.ok(rss < BYTES_ALL + rest * BYTES_EACH, `the process grew by ${rss} bytes over ${rest}`);
}

const large = `async (at) => {
  const document = track(new JSONCrdt('r'));
  document.setEncoded(['text'], String(at).repeat(20_000));
  if (at % 2) document.close();
}`;
for (const [kind, one] of Object.entries({ nodes, sessions, lists, 'large documents': large })) {
  test(`the process stays as small as it was: ${kind}`, (t) => growth(t, one, COUNT));
}

test('documents are let go in time, although only the native half is large', async (t) => {
  const { code, stdout, stderr } = await program(t, `${head}
    const { randomBytes } = require('node:crypto');
    const source = new JSONCrdt('s');
    source.set(['text'], randomBytes(1 << 20).toString('base64'));
    const bytes = source.encodeSnapshot();
    (async () => {
      // 2 GB in all. Nobody calls gc here.
      let most = 0;
      for (let at = 0; at < 1_500; at++) {
        new JSONCrdt('r' + at).restore(bytes);
        if (at % 10 === 0) await turn();
        most = Math.max(most, process.memoryUsage().rss);
      }
      console.log(most);
    })();
  `).ended;
  assert.deepEqual([code, stderr], [0, '']);
  assert.ok(Number(stdout) < 1 << 30, `${stdout} bytes at most`);
});
