// A process that is started to see how long that takes: `bare` does nothing, `node` is a node,
// whose PMD it launches if there is none. Says the moment when it is ready.

const [kind, port] = process.argv.slice(2);
let node;
if (kind === 'node') {
  const { createRequire } = await import('node:module');
  const path = process.env.DISTFLOW_PACKAGE ?? '../../../bindings-node';
  const { NodeRuntime } = createRequire(import.meta.url)(path);
  // A launched PMD ends soon if something goes wrong here.
  node = await NodeRuntime.start({ pmdPort: Number(port), pmdAutoShutdownMs: 5_000 });
  node.ref();
}
process.stdout.write(`ready ${process.hrtime.bigint()}\n`);
process.stdin.on('close', () => process.exit()).resume();
