// Two processes: `pong` answers whoever writes to it, `ping` writes to it and times the answers.
//
//     npm install && npm run build
//     node dist/ping-pong.js pong [PMD-PORT]
//     node dist/ping-pong.js ping [PMD-PORT]

import { DistflowError, type MessageMetadata, NodeRuntime } from '@distflow/native';

const PINGS = 5;

interface Ping {
  ping: number;
}

interface Pong {
  pong: number;
}

async function pong(pmdPort: number): Promise<void> {
  const node = await NodeRuntime.start({ alias: 'pong', pmdPort });
  // The sender's id is a target like any alias.
  node.onMessage((message: Ping, meta: MessageMetadata) => {
    const answer: Pong = { pong: message.ping };
    node.send(meta.from, answer).catch((error: DistflowError) => {
      console.error(`cannot answer ${meta.from}: ${error.message}`);
    });
  });
  process.once('SIGINT', () => void node.shutdown());
  process.once('SIGTERM', () => void node.shutdown());
  console.log(`ready as ${node.getNodeId()}`);
}

async function ping(pmdPort: number): Promise<void> {
  const node = await NodeRuntime.start({ pmdPort });
  try {
    const answers = node[Symbol.asyncIterator]();
    for (let number = 1; number <= PINGS; number++) {
      const start = performance.now();
      // Asked for before it can come.
      const step = answers.next();
      const sent: Ping = { ping: number };
      await node.send('pong', sent);
      const { value, done } = await step;
      if (done) break;
      const answer = value.payload as Pong;
      console.log(`pong ${answer.pong} after ${(performance.now() - start).toFixed(2)} ms`);
    }
  } finally {
    await node.shutdown();
  }
}

const roles: Record<string, (pmdPort: number) => Promise<void>> = { ping, pong };
const [role = '', port = '4369', ...more] = process.argv.slice(2);
const run = Object.hasOwn(roles, role) ? roles[role] : undefined;
if (!run || more.length > 0 || !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) {
  console.error('usage: ping-pong.js ping|pong [PMD-PORT]');
  process.exitCode = 2;
} else {
  run(Number(port)).catch((error: unknown) => {
    const text = error instanceof DistflowError ? `${error.message} (${error.code})` : error;
    console.error(text);
    process.exitCode = 1;
  });
}
