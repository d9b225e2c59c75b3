// A worker is terminated in the middle of its life: its node leaves, its alias is free, and the directory of
// its document can be opened again, while the program goes on. Arguments: how workers
// are made, `threads` as in Node.js or `web` as in browsers, and how often.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { JSONCrdt, NodeRuntime, PMD } from '@distflow/native';

const [kind = 'threads', times = '20'] = process.argv.slice(2);
const LIMIT_MS = 60_000;

const url = new URL('./worker.mjs', import.meta.url);

/** A worker; resolves when it has said so, with the function that ends it. */
async function worker(data) {
  if (kind === 'threads') {
    const { Worker } = await import('node:worker_threads');
    const one = new Worker(url, { workerData: data });
    await new Promise((resolve, reject) => one.once('message', resolve).once('error', reject));
    return () => one.terminate();
  }
  const one = new Worker(url, { type: 'module' });
  await new Promise((resolve, reject) => {
    one.onmessage = resolve;
    one.onerror = reject;
    one.postMessage(data);
  });
  return () => one.terminate();
}

async function until(what, condition) {
  const end = Date.now() + LIMIT_MS;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what} did not come true`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const pmd = new PMD({ port: 0 });
await pmd.start();
const main = await NodeRuntime.create({ alias: 'main', pmdPort: pmd.port, autoStart: false });
const left = [];
main.on('peer:leave', (peer) => left.push(peer.alias));
const home = mkdtempSync(join(tmpdir(), 'ends-'));

for (let time = 0; time < Number(times); time++) {
  const directory = join(home, String(time));
  const end = await worker({ alias: 'w', pmdPort: pmd.port, directory });
  if ((await main.discover()).length !== 1) throw new Error('the worker has no node');
  for (let at = 0; at < 20; at++) await main.send('w', at);
  await end();
  await until('the leave', () => left.length === time + 1);
  await until('being alone', async () => (await main.discover()).length === 0);
  // Its document is closed, too, and what it wrote is there.
  await until('the open', () => {
    try {
      const document = new JSONCrdt('r', {}, { directory });
      if (document.get(['from']) !== 'worker') throw new Error('the document is another');
      document.close();
      return true;
    } catch (error) {
      if (error.code !== 'already_running') throw error;
      return false;
    }
  });
  const again = await NodeRuntime.create({ alias: 'w', pmdPort: pmd.port, autoStart: false });
  await again.shutdown();
  left.pop();
}
await main.shutdown();
await pmd.stop();
rmSync(home, { recursive: true, force: true });
console.log('ends work');
