// A program as users write it: a node, which launches a PMD, a message, a document.
import { JSONCrdt, NodeRuntime, version } from '@distflow/native';

async function main() {
  const pmdPort = Number(process.env.PMD_PORT);
  const options = { pmdPort, pmdAutoShutdownMs: 1000, startTimeoutMs: 60_000 };
  const node = await NodeRuntime.create({ ...options, alias: 'app' });
  const got = new Promise((resolve) => node.onMessage(resolve));
  await node.send('app', { text: 'to itself' });
  const { text } = await got;
  const document = new JSONCrdt('app');
  document.set(['text'], text);
  await node.shutdown();
  console.log('app works', version(), document.canonical());
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
