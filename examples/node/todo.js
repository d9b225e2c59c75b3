// A shared to-do list: everybody who runs this sees the same, also after having been apart.
//
//     node todo.js <name> [port of the PMD]
//
// Lines on standard input: add <text>, done <number>, list, quit. todo.py beside the Python examples
// speaks the same messages, so that both share one list.

const { createInterface } = require('node:readline');

const { JSONCrdt, NodeRuntime } = require('@distflow/native');

const [name, port = '4369', ...more] = process.argv.slice(2);
if (!/^[\w-]+$/.test(name ?? '') || !/^\d+$/.test(port) || port < 1 || port > 65535 || more.length > 0) {
  console.error('usage: node todo.js <name> [port of the PMD, 1 to 65535]');
  process.exit(2);
}

const alias = `todo-${name}`;
const doc = new JSONCrdt(name);
/** Operations in one message, by the length of their text: far less than a message may have. */
const TEXT_MAX = 1 << 20;
let made = 0;

/** The items in one order, the same for everybody: by time, then by their ids. */
function items() {
  const all = Object.entries(doc.get(['todo']) ?? {});
  return all.sort(([a, { at }], [b, { at: later }]) => at - later || (a < b ? -1 : 1));
}

function list() {
  const all = items();
  if (all.length === 0) console.log('nothing to do');
  for (const [at, [, { text, done }]] of all.entries()) {
    console.log(`${at + 1} [${done ? 'x' : ' '}] ${text}`);
  }
}

async function main() {
  const node = await NodeRuntime.start({ alias, pmdPort: Number(port) });
  const send = (to, payload) =>
    node.send(to, payload).catch((error) => console.error(`${to}: ${error.message}`));
  const ask = (to) => send(to, { type: 'CRDT_SYNC_REQUEST', clock: doc.clock(), from: alias });

  /** Gives somebody all operations, in as many messages as it takes. */
  async function give(to, all) {
    let ops = [];
    let length = 0;
    for (const op of all.map(JSONCrdt.encodeOp)) {
      if (length > 0 && length + op.length > TEXT_MAX) {
        await send(to, { type: 'CRDT_SYNC_RESPONSE', ops, clock: doc.clock() });
        [ops, length] = [[], 0];
      }
      ops.push(op);
      length += op.length;
    }
    await send(to, { type: 'CRDT_SYNC_RESPONSE', ops, clock: doc.clock() });
  }

  /** Gives somebody the whole document: the operations it lacks are no longer all there. */
  async function giveAll(to) {
    for (const piece of doc.snapshotPieces()) await send(to, { type: 'CRDT_PIECE', piece });
  }

  /** Tells everybody of an operation; who misses it gets it with the next exchange. */
  async function tell(op) {
    const peers = await node.discover({ prefix: 'todo-' });
    const payload = { type: 'CRDT_OP', op: JSONCrdt.encodeOp(op) };
    await Promise.all(peers.map((peer) => send(peer.alias, payload)));
  }

  node.onMessage((message) => {
    switch (message?.type) {
      case 'CRDT_OP':
        doc.receive(message.op);
        break;
      case 'CRDT_SYNC_REQUEST':
        if (doc.isCompleteSince(message.clock)) give(message.from, doc.diffSince(message.clock));
        else giveAll(message.from);
        break;
      case 'CRDT_SYNC_RESPONSE':
        for (const op of message.ops) doc.receive(op);
        break;
      case 'CRDT_PIECE':
        doc.mergePiece(message.piece);
        break;
    }
  });
  // A source is a name, and one of its lives.
  doc.on('sync', ({ op }) => console.log(`changed by ${op.src.replace(/~[^~]*$/, '')}`));
  // Whoever has been away, or is new, and we ourselves may lack something.
  node.on('peer:join', ({ alias: peer }) => peer?.startsWith('todo-') && ask(peer));
  console.log('ready');
  for (const peer of await node.discover({ prefix: 'todo-' })) await ask(peer.alias);

  for await (const line of createInterface({ input: process.stdin })) {
    const [, command, rest] = /^(\S*) *(.*)$/.exec(line);
    if (command === 'add' && rest) {
      const id = `${name}-${Date.now()}-${++made}`;
      await tell(doc.set(['todo', id], { text: rest, done: false, at: Date.now() }));
    } else if (command === 'done' && items()[rest - 1]) {
      await tell(doc.set(['todo', items()[rest - 1][0], 'done'], true));
    } else if (command === 'list') {
      list();
    } else if (command === 'quit') {
      break;
    } else {
      console.log('add <text>, done <number>, list, quit');
    }
  }
  process.stdin.destroy();
  await node.shutdown();
}

main().catch((error) => {
  console.error(`${error.message} (${error.code})`);
  process.exit(1);
});
