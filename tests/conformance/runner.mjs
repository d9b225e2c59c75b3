// Carries out the steps of a conformance scenario; README.md describes the lines it speaks.

import { createInterface } from 'node:readline';

import { DistflowError, JSONCrdt, NodeRuntime, PMD, PMDClient } from '@distflow/native';

const LIMIT_MS = 30_000;

/** What listeners were given, until it is asked for. */
class Queue {
  #items = [];
  #waiting;

  put(item) {
    this.#items.push(item);
    this.#waiting?.();
  }

  /** The next one that is wanted; others are dropped. */
  async next(wanted = () => true) {
    const deadline = Date.now() + LIMIT_MS;
    for (;;) {
      while (this.#items.length > 0) {
        const item = this.#items.shift();
        if (wanted(item)) return item;
      }
      const left = deadline - Date.now();
      if (left <= 0) throw new DistflowError('timeout', 'no listener was called');
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  event(kind) {
    return this.next(({ event }) => kind === undefined || event === kind);
  }
}

const NODE_EVENTS = {
  'peer:join': (peer) => ({ peer: known(peer) }),
  'peer:leave': (peer, reason) => ({ peer: known(peer), reason }),
  'pmd:lost': (error) => ({ code: error.code }),
  'pmd:restored': () => ({}),
  'registration:refused': (error) => ({ code: error.code }),
  'mailbox:overflow': (dropped) => ({ dropped }),
  'send:failed': ({ to, messages, error }) => ({ to, messages, code: error.code }),
};

/** A node as all languages tell of it. */
function known({ nodeId, alias, host, port, meta }) {
  return { nodeId, alias, host, port, meta };
}

function message(payload, { from, to, timestamp, alias }) {
  return { payload: payload ?? null, from, to, timestamp, alias: alias ?? null };
}

const objects = new Map();

function describe({ node }) {
  return {
    nodeId: node.getNodeId(),
    alias: node.getAlias() ?? null,
    port: node.getPort(),
    isRegistered: node.isRegistered(),
  };
}

async function receive(self, timeoutMs = LIMIT_MS) {
  // A wait that is given up stays in the iterator; its message is the next wait's.
  self.pending ??= (self.messages ??= self.node[Symbol.asyncIterator]()).next();
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, timeoutMs)));
  const step = await Promise.race([self.pending, late]);
  clearTimeout(timer);
  if (!step) throw new DistflowError('timeout', 'nothing came in time');
  self.pending = undefined;
  if (step.done) throw new DistflowError('closed', 'the node has ended');
  return message(step.value.payload, step.value.meta);
}

const calls = {
  'node.open': async (self, { exclusive, maxSize, maxBytes, overflow, ...options }) => {
    options.mailbox = { maxSize, maxBytes, overflow };
    options.autoStart ??= false;
    self.node = exclusive ? await NodeRuntime.start(options) : await NodeRuntime.create(options);
    self.handled = new Queue();
    self.events = new Queue();
    for (const [event, fields] of Object.entries(NODE_EVENTS)) {
      self.node.on(event, (...args) => self.events.put({ event, ...fields(...args) }));
    }
    return describe(self);
  },
  'node.info': (self) => describe(self),
  'node.send': (self, { to, payload, timeoutMs }) => self.node.send(to, payload, { timeoutMs }),
  'node.recv': (self, { timeoutMs }) => receive(self, timeoutMs),
  'node.handle': (self) =>
    self.node.onMessage((payload, meta) => self.handled.put(message(payload, meta))),
  'node.handled': (self) => self.handled.next(),
  'node.event': (self, { kind }) => self.events.event(kind),
  'node.peers': (self) => self.node.peers().map(known),
  'node.discover': async (self, { prefix }) => (await self.node.discover({ prefix })).map(known),
  'node.stats': (self) => self.node.stats(),
  'node.close': (self) => self.node.shutdown(),
  'pmd.open': async (self, options) => {
    self.pmd = new PMD({ port: 0, ...options });
    self.events = new Queue();
    self.pmd.on('peer:join', (peer) => self.events.put({ event: 'peer:join', peer: known(peer) }));
    self.pmd.on('peer:leave', (peer, reason) =>
      self.events.put({ event: 'peer:leave', peer: known(peer), reason }),
    );
    self.pmd.on('stopped', (reason) => self.events.put({ event: 'stopped', reason }));
    await self.pmd.start();
    return { port: self.pmd.port };
  },
  'pmd.nodes': async (self) => (await self.pmd.nodes()).map(known),
  'pmd.event': (self, { kind }) => self.events.event(kind),
  'pmd.close': (self) => self.pmd.stop(),
  'client.open': async (self, { host, port }) => {
    self.client = new PMDClient(host, port);
    self.events = new Queue();
    await self.client.connect();
  },
  'client.register': (self, { nodeId, alias, host, port }) =>
    self.client.register(nodeId, alias, host, port),
  'client.unregister': (self, { nodeId }) => self.client.unregister(nodeId),
  'client.heartbeat': (self, { nodeId }) => self.client.heartbeat(nodeId),
  'client.resolve': async (self, { name }) => known(await self.client.resolve(name)),
  'client.list': async (self) => (await self.client.list()).map(known),
  'client.watch': async (self) => {
    for (const event of ['peer:join', 'peer:leave']) {
      self.client.onPeerEvent(event, (peer) => self.events.put({ event, peer: known(peer) }));
    }
    await self.client.watch();
  },
  'client.event': (self, { kind }) => self.events.event(kind),
  'client.close': (self) => self.client.disconnect(),
  'doc.open': (self, { replica, initial, options }) => {
    self.doc = new JSONCrdt(replica, initial, options);
    self.told = [];
    for (const name of ['change', 'sync', 'conflict', 'gc', 'limit']) {
      self.doc.on(name, ({ type, path }) => self.told.push([name, { type, path }]));
    }
  },
  'doc.set': (self, { path, value }) => ({ op: self.doc.set(path, value) }),
  'doc.delete': (self, { path }) => ({ op: self.doc.del(path) }),
  'doc.get': (self, { path }) => self.doc.get(path),
  'doc.read': ({ doc }) => ({
    value: doc.value(),
    canonical: doc.canonical(),
    hash: doc.hash(),
    clock: doc.clock(),
  }),
  'doc.receive': (self, { op }) => self.doc.receive(op),
  'doc.receiveAll': (self, { ops }) => ops.forEach((op) => self.doc.receive(JSONCrdt.encodeOp(op))),
  'doc.since': ({ doc }, { clock }) => ({
    ops: doc.diffSince(clock),
    complete: doc.isCompleteSince(clock),
  }),
  'doc.snapshot': (self) => ({ snapshot: self.doc.snapshot() }),
  'doc.restore': (self, { snapshot }) => self.doc.restore(snapshot),
  'doc.merge': (self, { snapshot }) => self.doc.merge(snapshot),
  'doc.pieces': (self, { bytes }) => ({ pieces: self.doc.snapshotPieces(bytes) }),
  'doc.mergePieces': (self, { pieces }) =>
    pieces.reduce((isWhole, piece) => self.doc.mergePiece(piece) || isWhole, false),
  'doc.events': (self) => self.told.splice(0),
  'doc.close': (self) => self.doc.close(),
};

console.log(['ready', ...Object.keys(calls)].join('\t'));
for await (const line of createInterface({ input: process.stdin })) {
  const [call, name, ...fields] = line.split('\t');
  const given = {};
  for (const field of fields) {
    const at = field.indexOf('=');
    const text = field.slice(at + 1);
    given[field.slice(0, at)] = text === 'NaN' ? NaN : JSON.parse(text);
  }
  if (!objects.has(name)) objects.set(name, {});
  try {
    const result = await calls[call](objects.get(name), given);
    console.log(`ok\t${JSON.stringify(result ?? null)}`);
  } catch (error) {
    if (!(error instanceof DistflowError)) throw error;
    console.log(`fail\t${error.code}\t${error.message}`);
  }
}
for (const { node, pmd, client } of [...objects.values()].reverse()) {
  client?.disconnect();
  await node?.shutdown();
  await pmd?.stop();
}
