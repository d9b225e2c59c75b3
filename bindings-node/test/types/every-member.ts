// Compiled only: every public item of the package, with the types a program would expect.
import {
  DistflowError,
  JSONCrdt,
  LogLevel,
  Logger,
  Mailbox,
  MessageType,
  NodeRuntime,
  PMD,
  PMDClient,
  Transport,
  compareHlc,
  configureLogger,
  createTransport,
  getLogger,
  isCausallyReady,
  vcTick,
  version,
} from '@distflow/native';
import type {
  BatchReceived,
  CausalGraphNode,
  ConflictEvent,
  CrdtInspection,
  CrdtMetrics,
  CrdtOptions,
  CrdtSnapshot,
  CrdtStats,
  Hlc,
  JsonArray,
  JsonObject,
  JsonPrimitive,
  JsonValue,
  Op,
  OpKind,
  Path,
  RegisterPayload,
  ReplicaId,
  SnapshotDiff,
  VectorClock,
  WatchEvent,
  DiscoverOptions,
  DistflowErrorOptions,
  ErrorCode,
  InternalMessage,
  LogEntry,
  LogTransport,
  LoggerOptions,
  MailboxConfig,
  Message,
  MessageHandler,
  MessageMetadata,
  NodeInfo,
  NodeMessage,
  NodeRuntimeEvents,
  NodeRuntimeOptions,
  NodeStats,
  Overflow,
  PMDEvents,
  PMDOptions,
  PeerEvent,
  PeerInfo,
  RegisteredNode,
  SendFailure,
  WaitOptions,
} from '@distflow/native';
import { Logger as Logger2, LogLevel as LogLevel2 } from '@distflow/native/logger';
import { Mailbox as Mailbox2, type InternalMessage as Internal2 } from '@distflow/native/mailbox';
import { PMD as PMD2, type PMDOptions as Options2 } from '@distflow/native/pmd';
import { PMDClient as Client2, MessageType as Type2, type Message as Message2 } from '@distflow/native/pmd-client';
import { Transport as Transport2 } from '@distflow/native/transport';
import { NodeRuntime as NodeRuntime2 } from '@distflow/native/dist/index.js';
import { NodeRuntime as NodeRuntime3 } from '@distflow/native/dist/node-runtime.js';
import { MessageType as Type3, type NodeInfo as Info3 } from '@distflow/native/dist/types.js';
import { compareHlc as compare2 } from '@distflow/native/json-crdt';
import { getLogger as getLogger2 } from '@distflow/native/dist/logger.js';

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const same = <A, B>(_same: Same<A, B>): void => {};

same<typeof Logger, typeof Logger2>(true);
same<typeof LogLevel, typeof LogLevel2>(true);
same<typeof Mailbox, typeof Mailbox2>(true);
same<InternalMessage, Internal2>(true);
same<typeof PMD, typeof PMD2>(true);
same<PMDOptions, Options2>(true);
same<typeof PMDClient, typeof Client2>(true);
same<typeof MessageType, typeof Type2>(true);
same<Message, Message2>(true);
same<typeof Transport, typeof Transport2>(true);
same<NodeRuntime, NodeRuntime2>(true);
same<typeof getLogger, typeof getLogger2>(true);
same<NodeRuntime, NodeRuntime3>(true);
same<typeof MessageType, typeof Type3>(true);
same<NodeInfo, Info3>(true);
same<typeof compareHlc, typeof compare2>(true);

export async function nodes(signal: AbortSignal): Promise<void> {
  const overflow: Overflow = 'drop-oldest';
  const mailbox: MailboxConfig = { maxSize: 1000, overflow, maxBytes: 1 << 20 };
  const all: NodeRuntimeOptions = {
    alias: 'a',
    nodeId: 'id',
    pmdPort: 4369,
    pmdHost: 'localhost',
    autoStart: true,
    mailbox,
    concurrency: 4,
    meta: { zone: 1 },
    useHeartbeat: true,
    heartbeatIntervalMs: 1000,
    listenHost: 'localhost',
    listenPort: 0,
    insecure: false,
    advertisedHost: 'localhost',
    pmdAutoShutdownMs: 30_000,
    embedPmd: false,
    startTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    maxQueueBytes: 1 << 20,
    logger: new Logger(),
    signal,
  };
  const node: NodeRuntime = await NodeRuntime.start(all);
  await using other: NodeRuntime = await NodeRuntime.create({ alias: undefined });
  // @ts-expect-error the policy does not exist
  await NodeRuntime.create({ mailbox: { overflow: 'drop-all' } });
  // @ts-expect-error nodes come from `start` and `create`
  new NodeRuntime();
  class Ring extends NodeRuntime {
    size = 1;
    static async open(options: NodeRuntimeOptions): Promise<Ring> {
      const ring = new Ring();
      await ring.initialize(options);
      return ring;
    }
  }
  const rings: Ring[] = [await Ring.start(all), await Ring.create({}), await Ring.open({})];

  const wait: WaitOptions = { signal, timeoutMs: 100 };
  const sent: void = await node.send('b', { any: ['thing'] }, wait);
  const handler: MessageHandler = async (message, meta) => node.send(meta.from, message.anything);
  const nothing: void = node.onMessage(handler);
  const discover: DiscoverOptions = { ...wait, prefix: 'svc-' };
  const peers: PeerInfo[] = await node.discover(discover);
  const known: NodeInfo[] = node.peers();
  const texts: [string, string | undefined] = [node.getNodeId(), node.getAlias()];
  const facts: [number, boolean] = [node.getPort(), node.isRegistered()];
  const stats: NodeStats = node.stats();
  const sum: number =
    stats.sent + stats.delivered + stats.dropped + stats.lostOutbound + stats.lostInbound +
    stats.misdirected + stats.waiting + stats.badFrames;
  const chained: NodeRuntime = node.ref().unref();

  node
    .on('message', (message, meta) => same<typeof meta, MessageMetadata>(true) ?? message)
    .once('peer:join', (peer) => same<typeof peer, NodeInfo>(true))
    .addListener('peer:leave', (peer, reason) => (same<typeof peer, NodeInfo>(true), reason.length))
    .prependListener('pmd:lost', (error) => same<typeof error, DistflowError>(true))
    .prependOnceListener('pmd:restored', () => {})
    .on('registration:refused', (error) => error.code)
    .on('mailbox:overflow', (dropped) => same<typeof dropped, number>(true))
    .on('send:failed', (failure) => same<typeof failure, SendFailure>(true))
    .on(Symbol('custom'), (...args) => args.length)
    .on('newListener', (event) => same<typeof event, string | symbol>(true))
    .off('message', handler)
    .removeListener('message', handler)
    .removeAllListeners('message')
    .removeAllListeners();
  // @ts-expect-error there is no such event
  node.on('peer:joined', () => {});
  // @ts-expect-error there is no such event
  node.once('messages', () => {});
  // @ts-expect-error it has other arguments
  node.on('mailbox:overflow', (dropped: string) => dropped.length);
  node.emit('message', 1, { from: 'a', to: 'b', timestamp: 1 });
  const count: number = node.listenerCount('message');
  same<NodeRuntimeEvents['send:failed'], [failure: SendFailure]>(true);
  const failed = (failure: SendFailure): [string, number, DistflowError] =>
    [failure.to, failure.messages, failure.error];

  for await (const message of node) {
    same<typeof message, NodeMessage>(true);
    const { payload, meta } = message;
    console.log(payload.anything, meta.from, meta.to, meta.timestamp);
    break;
  }
  const disposed: void = await node[Symbol.asyncDispose]();
  const ended: void = await node.shutdown();
  console.log(rings, sent, nothing, texts, facts, sum, chained, count, failed, disposed, ended, other);

  const peer = peers[0];
  if (peer) console.log(peer.alias?.length, peer.nodeId, peer.host, peer.port, peer.meta?.['a']);
  const info = known[0];
  if (info) console.log(info.alias?.length, info.nodeId, info.host, info.port, info.lastHeartbeat, info.meta);
}

export function mailboxes(): void {
  const mailbox = new Mailbox({ maxSize: 2, overflow: 'drop-newest' });
  const message: InternalMessage = { payload: 1, meta: { from: 'a', to: 'b', timestamp: 1 } };
  const taken: boolean = mailbox.push(message);
  mailbox.onMessage((payload, meta) => console.log(payload, meta.from));
  const sizes: [number, number] = [mailbox.size(), mailbox.getMaxSize()];
  console.log(taken, sizes, new Mailbox());
}

export function loggers(): void {
  const transport: LogTransport = createTransport((entry: LogEntry) => {
    console.log(entry.timestamp, entry.level, entry.message, entry.name?.length, entry.context?.['a'], entry['port']);
  });
  const options: LoggerOptions = { level: LogLevel.DEBUG, name: 'n', context: { a: 1 }, transport, prettyPrint: false };
  const logger: Logger = configureLogger(options);
  const child: Logger = getLogger('component').child({ more: 1 });
  child.setLevel(LogLevel.SILENT);
  const level: LogLevel = child.getLevel();
  child.addContext({ b: 2 });
  child.debug('m');
  child.info('m', { a: 1 });
  child.warn('m', { a: 1 });
  child.error('m', new Error('e'));
  child.error('m', { a: 1 });
  transport.write({ timestamp: 't', level: 'INFO', message: 'm' });
  console.log(logger === getLogger(), LogLevel[level], LogLevel.INFO, LogLevel.WARN, LogLevel.ERROR);
}

export async function registries(): Promise<void> {
  const options: PMDOptions = { port: 0, host: 'localhost', insecure: false, autoShutdownDelay: 0, ttl: 1, cleanupInterval: 1 };
  await using pmd = new PMD(options);
  await pmd.start();
  const port: number = pmd.port;
  const nodes: RegisteredNode[] = await pmd.nodes();
  pmd
    .on('peer:join', (node) => same<typeof node, RegisteredNode>(true))
    .once('peer:leave', (node, reason) => console.log(node.alias, reason))
    .on('stopped', (reason) => reason.length)
    .on(Symbol('custom'), () => {});
  const registry: NodeInfo[] = pmd.getRegistry();
  same<PMDEvents['stopped'], [reason: string]>(true);
  const chained: PMD = pmd.ref().unref();
  await pmd.stop();

  await using client = new PMDClient('localhost', port);
  const event: PeerEvent = 'peer:join';
  client.onPeerEvent(event, (peer: NodeInfo) => console.log(peer.nodeId));
  client.on('disconnect', () => {}).on('error', (error: DistflowError) => error.code);
  await client.connect();
  await client.register('id', undefined, 'localhost', 1);
  const found: NodeInfo = await client.resolve('a');
  const list: NodeInfo[] = await client.list();
  await client.heartbeat('id');
  await client.watch();
  await client.unregister('id');
  client.disconnect();
  const message: Message = { type: MessageType.REGISTER, payload: {}, requestId: 'req_1' };
  const payload: RegisterPayload = { nodeId: 'id', host: 'localhost', port: 1 };
  console.log(nodes, chained, found, list, message, payload, registry, new PMDClient());

  await using transport = new Transport();
  const listening: number = await transport.listen();
  await transport.listen(0);
  transport.onMessage((payload, meta) => console.log(payload, meta.timestamp));
  await transport.send('localhost', listening, 'a', 'b', { any: 1 });
  const same_: number = transport.getPort();
  await transport.stop();
  console.log(same_);
}

export function errors(): void {
  const options: DistflowErrorOptions = { cause: 1, causes: ['why'] };
  const error: Error = new DistflowError('timeout', 'late', options);
  if (error instanceof DistflowError) {
    const code: ErrorCode = error.code;
    const causes: readonly string[] = error.causes;
    console.log(code, causes, error.name, error.message, error.cause, version());
  }
  // @ts-expect-error there is no such code
  new DistflowError('nonsense', 'text');
}

export async function documents(): Promise<void> {
  const options: CrdtOptions = { maxLogSize: 1, members: ['a'], directory: '/tmp/x', enableAutoGc: true };
  const doc = new JSONCrdt('a', { any: [1, null, 'x'] }, options);
  const path: Path = ['a', 0];
  const op: Op = doc.set(path, { b: true });
  const deleted: Op = doc.del(path);
  const text: string = JSONCrdt.encodeOp(deleted) + doc.setEncoded(['x'], 1);
  const read: Op = JSONCrdt.decodeOp(text);
  const applied: boolean = doc.receive(op) && doc.receive(text);
  const value: JsonValue = doc.value();
  const found: JsonValue | undefined = doc.get(path);
  const clock: VectorClock = doc.clock();
  const ops: Op[] = doc.diffSince(clock);
  const bytes: Uint8Array = doc.encodeSince(clock);
  const batch: BatchReceived = doc.receiveBatch(bytes);
  const complete: boolean = doc.isCompleteSince(clock);
  const snapshot: CrdtSnapshot = doc.snapshot();
  const exact: Uint8Array = doc.encodeSnapshot();
  doc.restore(snapshot);
  doc.merge(exact);
  const stats: CrdtStats = doc.getStats();
  const metrics: CrdtMetrics = doc.getMetrics();
  const inspection: CrdtInspection = doc.inspect({ logSampleSize: 1, includeCausalGraph: true });
  const graph: CausalGraphNode[] = doc.getCausalGraph();
  const diff: SnapshotDiff = JSONCrdt.diffSnapshots(snapshot, snapshot);
  const replayed: JsonValue = doc.replay({ fromIndex: 0, onOp: (op, at) => console.log(op.id, at) });
  const end: () => void = doc.watch('a.*', (event: WatchEvent) => console.log(event.local));
  doc.on('change', ({ type, value }) => console.log(type, value)).once('gc', (event) => event.removed);
  doc.on('conflict', (event: ConflictEvent) => {
    console.log(event.path.length);
    if (event.type === 'clock-drift') console.log(event.aheadMs);
  });
  const stamp: Hlc = op.hlc;
  const replica: ReplicaId = op.src;
  const kind: OpKind = op.kind;
  const order: number = compareHlc(stamp, deleted.hlc);
  const next: VectorClock = vcTick(clock, replica);
  const ready: boolean = isCausallyReady(clock, op);
  const parts: [JsonPrimitive, JsonArray, JsonObject] = [null, [1], { a: [] }];
  console.log(kind, order, next, ready, parts);
  // @ts-expect-error there is no such event
  doc.on('changed', () => {});
  doc.on('refused', ({ error }) => console.log(error.message));
  doc.drainPending();
  doc.gcTombstones();
  doc.cleanPendingBuffer();
  doc.gcLog(5);
  doc.setMembers(undefined);
  await doc.flush();
  await doc.checkpoint();
  end();
  doc.close();
  console.log(read, applied, value, found, ops, batch, complete, stats, metrics, inspection, graph);
  console.log(diff, replayed, doc.canonical(), doc.hash(), doc.metricsText(), doc.getReplicaId());
  // @ts-expect-error a function is no JSON
  doc.set(['x'], () => 1);
}
