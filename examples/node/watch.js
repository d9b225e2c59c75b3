#!/usr/bin/env node
// Watches who is there: prints the nodes that are, then each that comes or goes, until Ctrl-C or
// the end of standard input.
//
//     node watch.js [PMD-PORT]
'use strict';

const { NodeRuntime } = require('@distflow/native');

function print(what, { nodeId, alias = '-', host, port }, cause = '') {
  console.log(`${what} ${nodeId} ${alias} ${host}:${port} ${cause}`.trimEnd());
}

async function watch(pmdPort) {
  const node = await NodeRuntime.start({ pmdPort });
  // Listened to and listed within one turn of the loop, so that nobody is missed in between. Who
  // joins in between is in both.
  node.on('peer:join', (peer) => print('join', peer));
  node.on('peer:leave', (peer, reason) => {
    // Its own good-bye is no news.
    if (peer.nodeId !== node.getNodeId()) print('leave', peer, reason);
  });
  node.on('pmd:lost', (error) => console.log(`PMD lost: ${error.message}`));
  node.on('pmd:restored', () => console.log('PMD restored'));
  const stop = () => {
    process.stdin.destroy();
    return node.shutdown();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  // Reading keeps the process alive.
  process.stdin.on('end', stop).resume();

  for (const peer of node.peers()) print('here', peer);
  console.log('ready');
}

const [port = '4369', ...more] = process.argv.slice(2);
if (more.length > 0 || !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) {
  console.error('usage: watch.js [PMD-PORT]');
  process.exitCode = 2;
} else {
  watch(Number(port)).catch((error) => {
    console.error(`${error.message} (${error.code})`);
    process.exitCode = 1;
  });
}
