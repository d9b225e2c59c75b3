import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { collect, distflow, program, require, startNode, startPmd } from './helpers.mjs';

const { LogLevel, Logger, configureLogger, createTransport, getLogger } = distflow;

function recorder() {
  const entries = [];
  return { entries, transport: createTransport((entry) => entries.push(entry)) };
}

afterEach(() => configureLogger({}));

test('the module is the same under every name', () => {
  for (const name of ['@distflow/native/logger', '@distflow/native/dist/logger.js']) {
    const module = require(name);
    assert.deepEqual(
      Object.keys(module).sort(),
      ['LogLevel', 'Logger', 'configureLogger', 'createTransport', 'getLogger'],
    );
    assert.equal(module.getLogger, getLogger);
  }
});

test('levels are numbers with reverse names', () => {
  assert.deepEqual(
    ['DEBUG', 'INFO', 'WARN', 'ERROR', 'SILENT'].map((name) => LogLevel[name]),
    [0, 1, 2, 3, 4],
  );
  assert.equal(LogLevel[3], 'ERROR');
});

test('entries have their members in the original order', () => {
  const { entries, transport } = recorder();
  const logger = new Logger({ name: 'app', context: { env: 'p' }, transport, level: LogLevel.DEBUG });
  const child = logger.child({ component: 'svc' });
  child.info('m', { port: 3000 });
  child.error('bad', new TypeError('x'));
  child.error('plain', { code: 7 });
  new Logger({ transport }).warn('bare');
  const text = entries.map((entry) => JSON.stringify(entry));
  assert.match(text[0], /^\{"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"INFO","message":"m","name":"app","context":\{"env":"p","component":"svc"\},"port":3000\}$/);
  assert.match(text[1], /^\{"timestamp":"[^"]+","level":"ERROR","message":"bad","name":"TypeError","context":\{"env":"p","component":"svc"\},"error":"x","stack":"TypeError: x.*"\}$/);
  assert.match(text[2], /"message":"plain","name":"app",.*"code":7\}$/);
  assert.match(text[3], /^\{"timestamp":"[^"]+","level":"WARN","message":"bare"\}$/);
});

test('meta replaces earlier members', () => {
  const { entries, transport } = recorder();
  new Logger({ transport }).info('m', { level: 'LOUD' });
  assert.equal(entries[0].level, 'LOUD');
});

test('levels filter, and SILENT writes nothing', () => {
  const { entries, transport } = recorder();
  const logger = new Logger({ transport, level: LogLevel.WARN });
  for (const name of ['debug', 'info', 'warn', 'error']) logger[name](name);
  logger.setLevel(LogLevel.SILENT);
  assert.equal(logger.getLevel(), LogLevel.SILENT);
  logger.error('nothing');
  assert.deepEqual(entries.map(({ message }) => message), ['warn', 'error']);
});

test('children follow the level and transport of the moment', () => {
  const early = getLogger('svc');
  const grandchild = early.child({ more: 1 });
  const { entries, transport } = recorder();
  const root = configureLogger({ level: LogLevel.DEBUG, name: 'late', transport });
  assert.equal(root, getLogger());
  early.debug('seen');
  grandchild.debug('seen');
  root.setLevel(LogLevel.ERROR);
  early.warn('not seen');
  early.setLevel(LogLevel.WARN);
  early.warn('seen again');
  assert.deepEqual(
    entries.map(({ message, name, context }) => [message, name, context]),
    [
      ['seen', 'late', { component: 'svc' }],
      ['seen', 'late', { component: 'svc', more: 1 }],
      ['seen again', 'late', { component: 'svc' }],
    ],
  );
});

test('addContext adds to what entries carry', () => {
  const { entries, transport } = recorder();
  const logger = new Logger({ transport });
  logger.addContext({ a: 1 });
  logger.addContext({ b: 2 });
  logger.info('m');
  assert.deepEqual(entries[0].context, { a: 1, b: 2 });
});

test('JSON lines hold cycles and big integers', async (t) => {
  const { stdout } = await program(t, `
    const { Logger } = require('@distflow/native');
    const cycle = { big: 10n }; cycle.self = cycle;
    new Logger({ prettyPrint: false }).info('100%s', { cycle });
  `).ended;
  assert.match(stdout, /"message":"100%s","cycle":\{"big":"10","self":"\[Circular\]"\}\}\n$/);
});

test('pretty lines are the original ones', async (t) => {
  const { stdout } = await program(t, `
    const { Logger } = require('@distflow/native');
    new Logger({ name: 'n', context: { a: 1 } }).info('text', { b: 2 });
    new Logger().warn('bare');
  `).ended;
  const [first, second] = stdout.split('\n');
  const stamp = '\\x1b\\[2m[^\\x1b]+\\x1b\\[0m';
  assert.match(first, new RegExp(`^${stamp} \\x1b\\[32mINFO \\x1b\\[0m \\x1b\\[2m\\[n\\]\\x1b\\[0m text\\x1b\\[2m \\{"a":1\\}\\x1b\\[0m\\x1b\\[2m \\{"b":2\\}\\x1b\\[0m$`));
  assert.match(second, new RegExp(`^${stamp} \\x1b\\[33mWARN \\x1b\\[0m  bare$`));
});

test('the process-wide logger takes LOG_LEVEL and NODE_ENV', async (t) => {
  const code = `
    const { getLogger } = require('@distflow/native');
    for (const name of ['debug', 'info', 'warn', 'error']) getLogger('c')[name](name);
  `;
  const run = async (env) => (await program(t, code, { env }).ended).stdout;
  const messages = (text) =>
    text.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line).message);
  const production = { NODE_ENV: 'production', LOG_LEVEL: '' };
  assert.deepEqual(messages(await run(production)), ['info', 'warn', 'error']);
  assert.deepEqual(messages(await run({ ...production, LOG_LEVEL: 'Debug' })).length, 4);
  assert.deepEqual(messages(await run({ ...production, LOG_LEVEL: 'ERROR' })), ['error']);
  assert.equal(await run({ ...production, LOG_LEVEL: 'silent' }), '');
  assert.match(await run({ NODE_ENV: '' , LOG_LEVEL: 'warn' }), /^\x1b\[2m.*WARN/);
});

test('a node writes what the library logs to its logger', async (t) => {
  const { entries, transport } = recorder();
  const logger = new Logger({ name: 'lib', transport, level: LogLevel.DEBUG });
  const pmd = await startPmd(t);
  const node = await startNode(t, pmd, { alias: 'logged', logger });
  const got = collect(node, 1);
  await node.send('logged', 'to myself');
  await got;
  await node.shutdown();
  const started = entries.find(({ message }) => message === 'node started');
  assert.ok(started, JSON.stringify(entries));
  assert.equal(started.level, 'INFO');
  assert.equal(started.name, 'lib');
  assert.equal(started.node, node.getNodeId());
  assert.match(started.context.component, /^distflow_core/);
  assert.ok(entries.some(({ message }) => message === 'node ended'));
});
