import assert from 'node:assert/strict';
import { test } from 'node:test';

import { distflow, require } from './helpers.mjs';

const { Mailbox } = require('@distflow/native/mailbox');
const message = (payload) => ({ payload, meta: { from: 'a', to: 'b', timestamp: 1 } });

test('it is the same class everywhere', () => {
  assert.equal(Mailbox, distflow.Mailbox);
  assert.equal(Mailbox, require('@distflow/native/dist/mailbox.js').Mailbox);
});

test('the defaults are 1000 messages, the newest dropped', () => {
  const mailbox = new Mailbox();
  assert.equal(mailbox.getMaxSize(), 1000);
  for (let at = 0; at < 1000; at++) assert.equal(mailbox.push(message(at)), true);
  assert.equal(mailbox.push(message(1000)), false);
  assert.equal(mailbox.size(), 1000);
});

test('what waits is drained by the first handler, in order', () => {
  const mailbox = new Mailbox({ maxSize: 2, overflow: 'drop-newest' });
  assert.deepEqual([1, 2, 3].map((n) => mailbox.push(message(n))), [true, true, false]);
  const seen = [];
  mailbox.onMessage((payload, meta) => seen.push([payload, meta.from, meta.to, meta.timestamp]));
  assert.deepEqual(seen, [[1, 'a', 'b', 1], [2, 'a', 'b', 1]]);
  assert.equal(mailbox.size(), 0);
  assert.equal(mailbox.push(message(4)), true);
  assert.equal(seen.length, 3);
});

test('drop-oldest keeps the newest, block refuses', () => {
  const oldest = new Mailbox({ maxSize: 2, overflow: 'drop-oldest' });
  for (const n of [1, 2, 3]) assert.equal(oldest.push(message(n)), true);
  const seen = [];
  oldest.onMessage((payload) => seen.push(payload));
  assert.deepEqual(seen, [2, 3]);
  const block = new Mailbox({ maxSize: 1, overflow: 'block' });
  assert.deepEqual([block.push(message(1)), block.push(message(2))], [true, false]);
});

test('each handler gets each message; one that throws stops nobody', (t) => {
  const errors = t.mock.method(console, 'error', () => {});
  const mailbox = new Mailbox();
  const seen = [];
  const broken = new Error('broken');
  mailbox.onMessage((payload) => {
    seen.push(['first', payload]);
    throw broken;
  });
  mailbox.onMessage((payload) => seen.push(['second', payload]));
  mailbox.push(message(1));
  mailbox.push(message(2));
  assert.deepEqual(seen, [['first', 1], ['second', 1], ['first', 2], ['second', 2]]);
  assert.deepEqual(errors.mock.calls[0].arguments, ['Error in message handler:', broken]);
});

test('a handler that pushes does not recurse', () => {
  const mailbox = new Mailbox();
  let [depth, deepest, count] = [0, 0, 0];
  mailbox.onMessage((payload) => {
    depth += 1;
    deepest = Math.max(deepest, depth);
    count += 1;
    if (payload < 50_000) mailbox.push(message(payload + 1));
    depth -= 1;
  });
  mailbox.push(message(1));
  assert.deepEqual([deepest, count], [1, 50_000]);
});

test('wrong options are named', () => {
  assert.throws(() => new Mailbox({ maxSize: -1 }), { code: 'invalid_argument' });
  assert.throws(() => new Mailbox({ overflow: 'drop-all' }), /drop-all/);
  assert.throws(() => new Mailbox({ size: 1 }), /no option size; there are maxSize, overflow/);
  assert.throws(() => new Mailbox(null), { code: 'invalid_argument' });
});
