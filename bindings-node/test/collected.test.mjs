// What nobody has any more is collected, with what stands behind it in native code: none of a thousand
// documents, nodes, sessions and lists is left.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { head, lists, nodes, sessions, url } from './collecting.mjs';
import { program, startPmd } from './helpers.mjs';

const COUNT = 1_000;

async function left(t, one, { atOnce = 8, count = COUNT } = {}) {
  const pmd = await startPmd(t);
  const directory = mkdtempSync(join(tmpdir(), 'distflow-collected-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { ended } = program(t, `${head}
    const [pmdPort, url, directory] = ${JSON.stringify([pmd.port, url, directory])};
    const manager = new SessionManager(url);
    (async () => {
      await many(${count}, ${atOnce}, ${one});
      console.log(await collect());
    })();
  `, { nodeArgs: ['--expose-gc'] });
  const { code, stdout, stderr } = await ended;
  assert.deepEqual([code, stderr], [0, '']);
  return Number(stdout);
}

const kinds = {
  'documents that were not touched': `async () => { track(new JSONCrdt('r')); }`,
  'documents that were written': `async () => {
    const document = track(new JSONCrdt('r'));
    document.set(['a'], 1);
    document.receive(new JSONCrdt('s').setEncoded(['b'], 2));
  }`,
  'documents that are watched': `async () => {
    const document = track(new JSONCrdt('r'));
    document.watch('a.*', () => document.value());
    document.on('change', () => document.value());
    document.set(['a', 'b'], 1);
  }`,
  'documents that were closed': `async () => {
    const document = track(new JSONCrdt('r'));
    document.close();
  }`,
  'documents on disk that were flushed': `async (at) => {
    const document = track(new JSONCrdt('r', {}, { directory: directory + '/' + at }));
    document.set(['a'], 1);
    await document.flush();
    if (at % 2) document.close();
  }`,
  'nodes that were shut down': nodes,
  'nodes that could not be started': `async () => {
    const text = await NodeRuntime.create({ pmdPort, alias: 'x'.repeat(1000) }).catch((error) => error.code);
    if (text !== 'invalid_argument') throw new Error(text);
    track({});
  }`,
  'embedded PMDs that were stopped': `async () => {
    const pmd = track(new PMD({ port: 0 }));
    await pmd.start();
    await pmd.stop();
  }`,
  'clients of a PMD that were disconnected': `async () => {
    const client = track(new PMDClient('127.0.0.1', pmdPort));
    await client.connect();
    client.on('peer:join', () => client.disconnect());
    client.disconnect();
  }`,
  'lists of sessions that were closed': lists,
  'lists of sessions that nobody listens to': `async () => { track(await again(() => manager.list())); }`,
  // The last, for what a thousand sessions leave is kept by the broker for 20 s, and told to every list.
  'sessions that were left': sessions,
};

for (const [kind, one] of Object.entries(kinds)) {
  test(`none is left of a thousand ${kind}`, async (t) => {
    assert.equal(await left(t, one, { count: /disk/.test(kind) ? 200 : COUNT }), 0);
  });
}

test('what is in use is not collected', async (t) => {
  const pmd = await startPmd(t);
  const { code, stdout, stderr } = await program(t, `${head}
    const pmdPort = ${pmd.port};
    (async () => {
      // Nobody refers to any of these.
      const answered = new Promise((resolve) => {
        NodeRuntime.create({ pmdPort, alias: 'b' }).then((b) => track(b).onMessage(resolve));
      });
      const changed = new Promise((resolve) => {
        new SessionManager(${JSON.stringify(url)}).list().then((list) => track(list).once('changed', resolve));
      });
      const serving = new Promise((resolve) => {
        const pmd = track(new PMD({ port: 0 }));
        pmd.on('peer:join', resolve);
        pmd.start().then(() => NodeRuntime.create({ pmdPort: pmd.port, alias: 'idle' })).then(track);
      });
      const a = await NodeRuntime.create({ pmdPort, alias: 'a' });
      while ((await a.discover()).length < 1 || made < 4) await turn();
      for (let time = 0; time < 20; time++) { await turn(); gc(); }
      const session = await new SessionManager(${JSON.stringify(url)}).create();
      a.send('b', 'still there');
      console.log(await answered, (await serving).alias);
      await changed;
      console.log(gone);
      process.exit();
    })();
  `, { nodeArgs: ['--expose-gc'] }).ended;
  assert.deepEqual([code, stderr], [0, '']);
  // The list is let go once its listener has gone.
  assert.match(stdout, /^still there idle\n[01]\n$/);
});
