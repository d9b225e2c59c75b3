#!/usr/bin/env node
// A node that speaks the lines of `distflow node run`: prints messages and events as JSON lines,
// and sends the lines {"to":…,"payload":…} of its input, until the input ends.
//
//     node node.js --alias ALIAS --port PMD-PORT
//
// `distflow demo --node-program` runs it among the others.
'use strict';

const { createInterface } = require('node:readline');
const { parseArgs } = require('node:util');
const { NodeRuntime } = require('@distflow/native');

function print(event, members) {
  process.stdout.write(`${JSON.stringify({ event, ...members })}\n`);
}

function printError(code, error) {
  print('error', { code, error });
}

/** The target and payload of a line; throws what is wrong with it. */
function parse(text) {
  const line = JSON.parse(text);
  const isObject = typeof line === 'object' && line !== null && !Array.isArray(line);
  const names = isObject ? Object.keys(line) : [];
  if (typeof line?.to !== 'string' || names.some((name) => name !== 'to' && name !== 'payload')) {
    throw new Error('nothing else');
  }
  return line;
}

async function sendLine(node, text) {
  if (text.trim() === '') return;
  let line;
  try {
    line = parse(text);
  } catch (error) {
    printError('invalid_message', `a line must be {"to":…,"payload":…}: ${error.message}`);
    return;
  }
  try {
    await node.send(line.to, line.payload);
  } catch (error) {
    printError(error.code, error.message);
  }
}

async function run(alias, pmdPort) {
  const node = await NodeRuntime.start({
    alias,
    pmdPort,
    autoStart: false,
    // When lines are read slowly, senders wait and nothing is lost.
    mailbox: { overflow: 'block' },
  });
  print('started', {
    language: 'Node.js',
    nodeId: node.getNodeId(),
    alias: node.getAlias(),
    port: node.getPort(),
    peers: node.peers().length,
  });
  // Events wait for this turn of the loop, so whoever reads the first line misses nothing.
  node.on('peer:join', (peer) => print('peer:join', { peer }));
  node.on('peer:leave', (peer, cause) => print('peer:leave', { peer, cause }));
  node.on('pmd:lost', (error) => print('pmd:lost', { error: error.message }));
  node.on('pmd:restored', () => print('pmd:restored'));
  node.on('registration:refused', (error) => print('pmd:refused', { error: error.message }));
  node.on('mailbox:overflow', (dropped) => print('mailbox:overflow', { dropped }));
  node.on('send:failed', ({ to, messages, error }) =>
    print('send:failed', { to, messages, error: error.message }),
  );
  node.onMessage((payload, { from, timestamp }) => print('message', { from, payload, timestamp }));

  for await (const line of createInterface({ input: process.stdin })) await sendLine(node, line);
  await node.shutdown();
  print('stopped');
}

function given() {
  const options = { alias: { type: 'string' }, port: { type: 'string' } };
  try {
    const { values } = parseArgs({ options });
    const { alias, port = '' } = values;
    if (alias === undefined || !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) return;
    return { alias, port: Number(port) };
  } catch {
    return undefined;
  }
}

const options = given();
if (!options) {
  console.error('usage: node.js --alias ALIAS --port PMD-PORT');
  process.exitCode = 2;
} else {
  run(options.alias, options.port).catch((error) => {
    printError(error.code ?? 'internal', error.message);
    process.exitCode = 1;
  });
}
