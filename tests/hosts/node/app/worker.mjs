// The worker of ends.mjs.
import { JSONCrdt, NodeRuntime } from '@distflow/native';

async function work({ alias, pmdPort, directory }, say) {
  const document = new JSONCrdt('r', {}, { directory });
  document.set(['from'], 'worker');
  globalThis.held = document;
  const node = await NodeRuntime.create({ alias, pmdPort, autoStart: false });
  node.onMessage((message, meta) => node.send(meta.from, message).catch(() => {}));
  node.ref();
  say('ready');
}

// A worker of the kind of browsers is told by a message; one of Node.js has its data, and gets none.
globalThis.onmessage = ({ data }) => work(data, (text) => globalThis.postMessage(text));
const { parentPort, workerData } = await import('node:worker_threads');
if (workerData) work(workerData, (text) => parentPort.postMessage(text));
