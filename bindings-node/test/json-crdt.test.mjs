// A shared document: the API of the originals, and what distflow adds.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { distflow, program, require } from './helpers.mjs';

const { JSONCrdt } = require('@distflow/native/json-crdt');
const here = dirname(fileURLToPath(import.meta.url));
const { vectors } = JSON.parse(
  readFileSync(join(here, '../../tests/data/json-crdt-divergence.json'), 'utf8'),
);

/** What listeners were given. */
function heard(doc, ...names) {
  const events = [];
  for (const name of names) doc.on(name, (event) => events.push([name, event]));
  return events;
}

function fails(call, code, message) {
  assert.throws(call, (error) => {
    assert.equal(error.constructor.name, 'DistflowError');
    assert.equal(error.code, code, error.message);
    if (message) assert.match(error.message, message);
    return true;
  });
}

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'distflow-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('it is the same class everywhere', () => {
  assert.equal(JSONCrdt, distflow.JSONCrdt);
  assert.equal(JSONCrdt, require('@distflow/native/dist/json-crdt.js').JSONCrdt);
});

for (const vector of vectors.filter(({ kind }) => kind === 'two-orders')) {
  test(`both orders end the same: ${vector.name}`, () => {
    const ops = new Map(vector.ops.map((op) => [op.id, op]));
    for (const order of vector.orders) {
      for (const form of [(op) => op, JSONCrdt.encodeOp]) {
        const doc = new JSONCrdt('obs', vector.initial);
        for (const step of order) {
          if (typeof step === 'string') doc.receive(form(ops.get(step)));
          else doc.gcTombstones();
        }
        assert.deepEqual(doc.value(), vector.convergent_doc);
        assert.equal(doc.getStats().pendingSize, 0);
      }
    }
  });
}

/** One that writes as its name: for what is compared by it. */
const named = (name, initial = {}, options = {}) =>
  new JSONCrdt(name, initial, { source: name, ...options });

test('two replicas of one name have two sources, and end the same', () => {
  const [a, one, two] = ['a', 'bob', 'bob'].map((name) => new JSONCrdt(name));
  assert.deepEqual([one.source(), one.getReplicaId()], ['bob', 'bob']);
  assert.equal(a.receive(one.set(['x'], 1)), true);
  const op = two.set(['y'], 2);
  assert.equal(a.receive(op), true);
  assert.equal(op.src, two.source());
  assert.match(op.src, /^bob~/);
  assert.deepEqual([op.deps, two.clock()], [{ [op.src]: 1 }, { [op.src]: 1 }]);
  assert.notEqual(one.source(), two.source());
  for (const to of [one, two]) to.receiveBatch(a.encodeSince(to.clock()));
  assert.deepEqual([one.hash(), two.hash()], [a.hash(), a.hash()]);
  assert.deepEqual(a.value(), { x: 1, y: 2 });
  // Of the others, an operation says what is new.
  assert.deepEqual(Object.keys(two.set(['y'], 3).deps).sort(), [one.source(), two.source()].sort());
  const next = two.set(['y'], 4);
  assert.deepEqual(next.deps, { [op.src]: 3 });
  assert.deepEqual(next, JSON.parse(JSONCrdt.encodeOp(next)));
});

test('two histories of one source are told', () => {
  const [a, one, two] = [named('a'), named('b'), named('b')];
  const events = heard(a, 'conflict', 'refused');
  assert.equal(a.receive(one.set(['x'], 1)), true);
  // In snapshots histories are told by their stamps: not within one millisecond.
  for (const now = Date.now(); Date.now() <= now + 1; );
  const op = two.set(['y'], 2);
  assert.equal(a.receive(op), false);
  assert.deepEqual(events.map(([name]) => name).sort(), ['conflict', 'refused']);
  const [, conflict] = events.find(([name]) => name === 'conflict');
  assert.deepEqual(conflict, { type: 'source-reused', path: ['y'], source: 'b', number: 1, op });
  const [, { error }] = events.find(([name]) => name === 'refused');
  assert.equal(error.code, 'source_conflict');
  assert.deepEqual(a.receiveBatch(two.encodeSince({})), { applied: 0, duplicates: 0, pending: 0, refused: 1 });
  fails(() => a.merge(two.snapshot()), 'source_conflict', /another operation of "b" with the number 1/);
  assert.deepEqual(events.pop(), ['conflict', { type: 'source-reused', path: [], source: 'b', number: 1 }]);
  assert.deepEqual(a.value(), { x: 1 });
});

test('a snapshot comes in pieces', () => {
  const [a, b] = [new JSONCrdt('a'), new JSONCrdt('b')];
  for (let at = 0; at < 50; at++) a.set([`k${at}`], 'x'.repeat(100));
  b.set(['own'], 1);
  const pieces = a.snapshotPieces(1024);
  assert.ok(pieces.length > 5 && pieces.every((piece) => piece.length <= 1024));
  const found = pieces.reverse().map((piece) => b.mergePiece(piece));
  assert.deepEqual([found.pop(), found.includes(true)], [true, false]);
  assert.deepEqual(b.value(), { ...a.value(), own: 1 });
  assert.equal(b.clock()[a.source()], 50);
  assert.equal(a.snapshotPieces().length, 1);
  fails(() => a.snapshotPieces(7), 'invalid_argument', /at least 1024/);
  fails(() => b.mergePiece('nonsense'), 'invalid_message');
  fails(() => b.mergePiece(7), 'invalid_argument');
});

test('an operation is that of the originals', () => {
  const doc = named('B');
  const op = doc.set(['x'], { n: [1, null] });
  assert.deepEqual(Object.keys(op), ['id', 'kind', 'path', 'value', 'hlc', 'deps', 'src']);
  const { t, c } = op.hlc;
  assert.deepEqual(op, {
    id: `B:${t.toString(36)}:${c.toString(36)}:1`,
    kind: 'set',
    path: ['x'],
    value: { n: [1, null] },
    hlc: { t, c, r: 'B' },
    deps: { B: 1 },
    src: 'B',
  });
  const text = JSONCrdt.encodeOp(op);
  assert.equal(text, JSON.stringify(op));
  assert.deepEqual(JSONCrdt.decodeOp(text), op);
  const deleted = doc.del(['x']);
  assert.equal(deleted.kind, 'tombstone');
  assert.ok(!('value' in deleted));
  assert.equal(JSONCrdt.encodeOp(deleted), JSON.stringify(deleted));
  assert.deepEqual(doc.clock(), { B: 2 });
  assert.equal(doc.getReplicaId(), 'B');
  // The text is of the operation as it is now.
  const changed = doc.set(['y'], 1);
  changed.value = 2;
  assert.equal(JSON.parse(JSONCrdt.encodeOp(changed)).value, 2);
  const nested = doc.set(['z'], { a: 1 });
  nested.value.a = 2;
  assert.deepEqual(JSON.parse(JSONCrdt.encodeOp(nested)).value, { a: 2 });
  assert.deepEqual(doc.get(['z']), { a: 1 });
  assert.deepEqual(JSON.parse(doc.setEncoded(['y'], 3)).path, ['y']);
});

test('names with quotes and beyond the plane are names', () => {
  const doc = named('ä"😀\\');
  const op = doc.set(['k"\u{1f600}'], 'ü\n');
  assert.equal(JSONCrdt.encodeOp(op), JSON.stringify(op));
  const other = named('b');
  assert.equal(other.receive(op), true);
  assert.deepEqual(other.value(), { 'k"\u{1f600}': 'ü\n' });
  assert.deepEqual(other.clock(), { 'ä"😀\\': 1 });
});

test('replicas end the same, whatever is lost on the way', () => {
  const [a, b] = [named('A'), named('B')];
  for (let at = 0; at < 20; at++) {
    a.set(['list', `a${at}`], at);
    b.set(['list', `b${at}`], at);
  }
  for (const op of a.diffSince(b.clock())) assert.equal(b.receive(op), true);
  assert.ok(a.isCompleteSince({}));
  const received = a.receiveBatch(b.encodeSince(a.clock()));
  assert.deepEqual(received, { applied: 20, duplicates: 0, pending: 0, refused: 0 });
  assert.equal(a.canonical(), b.canonical());
  assert.equal(a.hash(), b.hash());
  assert.match(a.hash(), /^[0-9a-f]{64}$/);
  // Once more changes nothing.
  for (const op of a.diffSince({})) assert.equal(b.receive(op), false);
  assert.deepEqual(a.value(), b.value());
});

test('what came too early waits', () => {
  const [a, b] = [named('A'), named('B')];
  const ops = [a.set(['x'], 1), a.set(['x'], 2), a.set(['x'], 3)];
  assert.equal(b.receive(ops[2]), false);
  assert.equal(b.receive(ops[2]), false);
  assert.equal(b.getStats().pendingSize, 1);
  assert.equal(b.receive(ops[0]), true);
  assert.equal(b.receive(ops[1]), true);
  assert.deepEqual(b.value(), { x: 3 });
  assert.deepEqual([b.getMetrics().remoteOps, b.getMetrics().totalOps], [2, 3]);
});

test('local calls that fail change nothing', () => {
  const doc = named('A', { s: 1, l: [1] });
  for (const [path, message] of [
    [['s', 't'], /^Cannot set string key on non-object$/],
    [['s', 't', 'u'], /^Path expects object but found non-object$/],
    [['s', 0], /^Cannot set numeric index on non-array$/],
    [['s', 0, 'u'], /^Path expects array but found non-array$/],
    [['l', 'x'], /^Cannot set string key on non-object$/],
    [['l', -1], /segment 1 of the path is -1/],
    [['l', 0.5], /segment 1 of the path is 0.5/],
    [['l', 70_000], /an index must be a whole number from 0 to 65535/],
    [[null], /segment 0 of the path is null/],
    ['todo.milk', /"todo\.milk" is no path: it is "\/todo\/milk"/],
    [undefined, /a path must be an array/],
    [['k'.repeat(2_000)], /at most 1024/],
    [Array(100).fill('a'), /at most 60/],
  ]) {
    fails(() => doc.set(path, 1), 'invalid_argument', message);
  }
  fails(() => doc.set(['x'], undefined), 'invalid_argument', /must be JSON, not undefined/);
  fails(() => doc.set(['x'], 1n), 'invalid_argument', /BigInt/);
  const loop = {};
  loop.loop = loop;
  fails(() => doc.set(['x'], loop), 'invalid_argument', /circular/);
  fails(() => doc.set(['x'], 'y'.repeat(5 << 20)), 'too_large');
  assert.deepEqual([doc.value(), doc.clock()], [{ s: 1, l: [1] }, {}]);
  assert.equal(doc.set(['x'], 1).deps.A, 1);
  assert.equal(doc.set(['n'], NaN).value, null);
  assert.equal(doc.get(['n']), null);
});

test('wrong arguments are named', () => {
  fails(() => new JSONCrdt(''), 'invalid_argument', /name must be 1 to 240/);
  fails(() => new JSONCrdt(7), 'invalid_argument', /replica must be a string/);
  fails(() => new JSONCrdt('A', {}, { maxLog: 1 }), 'invalid_argument', /unknown field `maxLog`/);
  fails(() => new JSONCrdt('A', {}, { maxLogSize: -1 }), 'invalid_argument');
  fails(() => new JSONCrdt('A', {}, null), 'invalid_argument', /must be an object/);
  const doc = named('A');
  fails(() => doc.diffSince({ A: 'x' }), 'invalid_argument', /count of "A"/);
  fails(() => doc.diffSince(), 'invalid_argument', /a clock must be an object/);
  fails(() => doc.receiveBatch('x'), 'invalid_argument');
  fails(() => doc.receiveBatch(new Uint8Array(9)), 'invalid_message', /damaged/);
  fails(() => doc.restore({}), 'invalid_message', /the snapshot has no doc/);
  fails(() => doc.restore(new Uint8Array([1, 2])), 'invalid_json');
  fails(() => doc.restore(7), 'invalid_argument');
  fails(() => doc.watch('x'), 'invalid_argument', /callback must be a function/);
  fails(() => doc.gcLog(-1), 'invalid_argument', /keepLastN/);
  fails(() => doc.replay({ fromIndex: 0.5 }), 'invalid_argument', /fromIndex/);
  fails(() => JSONCrdt.decodeOp('{'), 'invalid_json');
  fails(() => JSONCrdt.decodeOp('7'), 'invalid_argument', /an operation must be an object/);
  fails(() => JSONCrdt.diffSnapshots({}, {}), 'invalid_message', /has no doc/);
});

test('what is no operation is refused, and the next one is not', () => {
  const [a, b] = [named('A'), named('B')];
  const events = heard(b, 'refused');
  const op = a.set(['x'], 1);
  for (const wrong of [
    {}, 'no JSON', null, 7, [], { ...op, id: 7 }, { ...op, src: 'C' }, { ...op, deps: {} },
    { ...op, hlc: { t: -1, c: 0, r: 'A' } },
  ]) {
    assert.equal(b.receive(wrong), false);
  }
  assert.equal(events.length, 9);
  assert.ok(events.every(([, { error }]) => error.constructor.name === 'DistflowError'));
  assert.equal(b.receive(op), true);
});

test('__proto__ is a key like others', () => {
  const [a, b] = [named('A'), named('B')];
  assert.equal(b.receive(a.set(['__proto__', 'polluted'], true)), true);
  assert.equal({}.polluted, undefined);
  assert.equal(b.canonical(), '{"__proto__":{"polluted":true}}');
});

test('events of the originals, and those beyond', () => {
  const [a, b] = [named('A'), named('B')];
  const ofA = heard(a, 'change', 'conflict', 'sync');
  const set = a.set(['x', 'y'], 1);
  const del = a.del(['x']);
  a.set(['x', 'z'], 2);
  assert.deepEqual(ofA.map(([name, { type }]) => [name, type]), [
    ['change', 'set'], ['change', 'del'], ['conflict', 'parent-tombstone'], ['change', 'set'],
  ]);
  assert.deepEqual(ofA[0][1], { type: 'set', path: ['x', 'y'], value: 1, op: set });
  assert.deepEqual(ofA[1][1], { type: 'del', path: ['x'], op: del });
  assert.deepEqual(ofA[2][1], {
    type: 'parent-tombstone', path: ['x', 'z'], parentPath: ['x'], operation: 'set',
  });
  const ofB = heard(b, 'change', 'sync', 'conflict');
  b.receive(set);
  assert.deepEqual(ofB, [['sync', { op: set }]]);
  const far = { ...set, id: 'C:1', src: 'C', hlc: { t: Date.now() + 1e9, c: 0, r: 'C' }, deps: { C: 1 } };
  b.receive(far);
  assert.equal(ofB[1][1].type, 'clock-drift');
  assert.ok(ofB[1][1].aheadMs > 9e8);
});

test('a set that a later delete hides is told', () => {
  const doc = named('A');
  const events = heard(doc, 'conflict');
  doc.set(['x'], 1);
  const del = doc.del(['x']);
  const hlc = { t: 1, c: 0, r: 'replica-old' };
  const op = { id: 'old', kind: 'set', path: ['x'], value: 2, hlc, deps: { 'replica-old': 1 }, src: 'replica-old' };
  assert.equal(doc.receive(op), true);
  assert.deepEqual(events, [
    ['conflict', { type: 'tombstone-wins', path: ['x'], opHlc: hlc, tombstoneHlc: del.hlc }],
  ]);
  assert.deepEqual(doc.value(), {});
  const { totalConflicts, tombstoneConflicts } = doc.getMetrics();
  assert.deepEqual([totalConflicts, tombstoneConflicts], [1, 1]);
});

test('listeners come and go', () => {
  const doc = named('A');
  const seen = [];
  doc.once('change', () => seen.push('once'));
  const always = () => seen.push('always');
  doc.addListener('change', always);
  doc.set(['x'], 1);
  doc.set(['x'], 2);
  assert.deepEqual(seen, ['once', 'always', 'always']);
  doc.off('change', always);
  doc.set(['x'], 3);
  doc.prependListener('change', () => seen.push('late'));
  doc.set(['x'], 4);
  doc.removeAllListeners('change');
  doc.set(['x'], 5);
  assert.deepEqual(seen, ['once', 'always', 'always', 'late']);
});

test('what a listener throws is an uncaughtException; the call and the others go on', async (t) => {
  const { code, stdout, stderr } = await program(t, `
    const { JSONCrdt } = require('@distflow/native');
    const doc = new JSONCrdt('A');
    const seen = [];
    process.on('uncaughtException', (error) => seen.push(error.message));
    doc.on('change', () => { throw new Error('first'); });
    doc.on('change', () => seen.push('second'));
    doc.watch('x', () => { throw new Error('watch'); });
    seen.push(doc.set(['x'], 1).kind);
    setImmediate(() => console.log(seen.join()));
  `).ended;
  assert.deepEqual([code, stdout, stderr], [0, 'second,set,first,watch\n', '']);
});

test('patterns are watched', () => {
  const [a, b] = [named('A'), named('B')];
  const seen = [];
  const end = b.watch('users.*.name', ({ path, local, op }) => seen.push([path.join('.'), local, op.src]));
  b.watch(['deep', '**', 'x'], ({ path }) => seen.push(path));
  b.receive(a.set(['users', 'u1', 'name'], 'Ann'));
  b.receive(a.set(['users', 'u1', 'age'], 7));
  b.set(['users'], {});
  b.set(['deep', 'a'], {});
  b.set(['deep', 'a', 'b'], 1);
  end();
  end();
  b.set(['users'], { u2: { name: 'Bob' } });
  assert.deepEqual(seen, [
    ['users.u1.name', false, 'A'], ['users', true, 'B'], ['deep', 'a'], ['deep', 'a', 'b'],
  ]);
});

test('after a merge and a restore a watch is told to look again', () => {
  const [a, b] = [new JSONCrdt('A'), new JSONCrdt('B')];
  const seen = [];
  b.watch('x', (event) => seen.push(event));
  b.watch('never', (event) => seen.push(event));
  a.set(['x'], 1);
  b.merge(a.snapshot());
  b.restore(a.snapshot());
  assert.deepEqual(seen, Array(4).fill({ path: [], local: false }));
});

test('text is a place as in other languages', () => {
  const doc = new JSONCrdt('A', { list: [1, [2]] });
  const op = doc.set('/todo/milk', 1);
  assert.deepEqual([op.path, op.value, JSON.parse(JSONCrdt.encodeOp(op))], [['todo', 'milk'], 1, op]);
  doc.set('plain', 2);
  assert.deepEqual([doc.get('/list/1/0'), doc.get('plain'), doc.get('')], [2, 2, doc.value()]);
  doc.del('/todo');
  assert.deepEqual(doc.value(), { list: [1, [2]], plain: 2 });
  for (const wrong of ['todo.milk', 'todo/milk', 'list[0]']) {
    fails(() => doc.get(wrong), 'invalid_argument', /is no path/);
    fails(() => doc.del(wrong), 'invalid_argument', /is no path/);
  }
});

test('snapshots are those of the originals, and exact', () => {
  const doc = named('A', { start: true });
  doc.set(['x'], 1);
  doc.set(['l'], [1, 2, 3]);
  doc.del(['l', 0]);
  doc.del(['x']);
  const snapshot = doc.snapshot();
  assert.deepEqual(Object.keys(snapshot), ['doc', 'vc', 'hlc', 'lww', 'tombstones', 'replicaId', 'distflow']);
  assert.deepEqual(snapshot.doc, { start: true, l: [2, 3] });
  assert.deepEqual(snapshot.vc, { A: 4 });
  assert.deepEqual(snapshot.tombstones.map(([key]) => key), ['.l#0', '.x']);
  assert.equal(snapshot.replicaId, 'A');
  for (const form of [snapshot, JSON.stringify(snapshot), doc.encodeSnapshot()]) {
    const copy = named('B');
    const events = heard(copy, 'restore');
    copy.restore(form);
    assert.deepEqual(events, [['restore', { snapshot: form, merge: false }]]);
    assert.deepEqual([copy.value(), copy.clock()], [doc.value(), doc.clock()]);
    assert.equal(copy.getReplicaId(), 'B');
    assert.equal(copy.set(['y'], 1).deps[copy.source()], 1);
  }
  const { distflow: _, ...plain } = snapshot;
  const copy = named('C');
  copy.restore(plain);
  assert.deepEqual(copy.value(), doc.value());
});

test('an older snapshot does not bring numbers back', () => {
  const [a, b] = [named('A'), named('B')];
  b.receive(a.set(['x'], 1));
  const snapshot = a.snapshot();
  b.receive(a.set(['x'], 2));
  a.restore(snapshot);
  assert.deepEqual(a.value(), { x: 1 });
  const op = a.set(['x'], 3);
  assert.equal(b.receive(op), true);
  assert.equal(b.receive(JSONCrdt.encodeOp(op)), false);
  assert.deepEqual([a.value(), b.value()], [{ x: 3 }, { x: 3 }]);
  assert.equal(op.deps[op.src], 1);
});

test('a replica behind the log gets a snapshot', () => {
  const [a, b] = ['A', 'B'].map((name) => named(name, {}, { maxLogSize: 2 }));
  for (let at = 0; at < 10; at++) {
    a.set([`a${at}`], at);
    b.set([`b${at}`], at);
  }
  assert.equal(a.isCompleteSince(b.clock()), false);
  b.merge(a.snapshot());
  a.merge(b.encodeSnapshot());
  assert.equal(Object.keys(a.value()).length, 20);
  assert.equal(a.canonical(), b.canonical());
});

test('the log is trimmed as the originals do', () => {
  const doc = named('A', {}, { maxLogSize: 5 });
  const events = heard(doc, 'gc');
  for (let at = 0; at < 20; at++) doc.set(['x'], at);
  const expected = ['gc', { type: 'log', removed: 6, currentSize: 5 }];
  assert.deepEqual(events, [expected, expected]);
  assert.equal(doc.getStats().logSize, 8);
  doc.gcLog();
  assert.equal(doc.getStats().logSize, 5);
  doc.gcLog(3);
  assert.equal(doc.getStats().logSize, 3);
  const kept = named('B', {}, { maxLogSize: 5, enableAutoGc: false });
  for (let at = 0; at < 20; at++) kept.set(['x'], at);
  assert.equal(kept.getStats().logSize, 20);
});

test('deletes are forgotten when all members have seen them', () => {
  const options = { members: ['A', 'B'], tombstoneGracePeriodMs: 0 };
  const [a, b] = ['A', 'B'].map((name) => named(name, {}, options));
  const events = heard(a, 'gc');
  b.receive(a.set(['x'], 1));
  b.receive(a.del(['x']));
  a.gcTombstones();
  assert.equal(a.getStats().tombstonesSize, 1);
  a.receive(b.set(['y'], 1));
  // Older than now by the clock that stamped it.
  for (const until = a.snapshot().hlc.t; Date.now() <= until; );
  a.gcTombstones();
  assert.deepEqual(events, [['gc', { type: 'tombstones', removed: 1, currentSize: 0 }]]);
  a.setMembers(undefined);
  fails(() => a.setMembers('A'), 'invalid_argument', /array of strings/);
});

test('it can be looked into', () => {
  const doc = named('replica-one', { start: 1 });
  doc.set(['x'], 1);
  doc.del(['x']);
  const seen = doc.inspect({ logSampleSize: 1, includeCausalGraph: true });
  assert.equal(seen.replicaId, 'replica-one');
  assert.deepEqual([seen.doc, seen.vc, seen.logSize], [{ start: 1 }, { 'replica-one': 2 }, 2]);
  assert.equal(seen.logSample[0].kind, 'tombstone');
  assert.deepEqual(seen.tombstonePaths, ['.x']);
  assert.equal(seen.metrics.localOps, 2);
  assert.deepEqual(seen.causalGraph, doc.getCausalGraph());
  assert.deepEqual(seen.causalGraph[0].deps, ['replica-:1']);
  assert.equal(doc.inspect().causalGraph, undefined);
  fails(() => doc.inspect({ logSample: 1 }), 'invalid_argument', /unknown field/);
  const ops = [];
  assert.deepEqual(doc.replay({ toIndex: 1, onOp: (op, at) => ops.push([at, op.kind]) }), { x: 1 });
  assert.deepEqual(ops, [[0, 'set']]);
  assert.deepEqual(doc.replay(), {});
  assert.match(doc.metricsText(), /^distflow_document_local_ops_total\{replica="replica-one"\} 2$/m);
});

test('the difference of snapshots names what changed', () => {
  const doc = named('A');
  doc.set(['u'], { a: 1, b: [1] });
  const before = doc.snapshot();
  doc.set(['u', 'a'], 2);
  doc.del(['u', 'b']);
  const diff = JSONCrdt.diffSnapshots(before, doc.snapshot());
  assert.deepEqual(diff.docChanges, [
    { path: ['u', 'a'], before: 1, after: 2, type: 'modified' },
    { path: ['u', 'b'], before: [1], type: 'removed' },
  ]);
  assert.deepEqual(diff.vcChanges, [{ replica: 'A', before: 1, after: 3 }]);
  assert.deepEqual(diff.tombstoneChanges, { added: ['.u.b'], removed: [] });
});

test('it is kept in a directory', async (t) => {
  const directory = folder(t);
  const open = () => named('A', {}, { directory });
  const doc = open();
  doc.set(['x'], { deep: [1] });
  doc.del(['x', 'deep', 0]);
  await doc.flush();
  fails(open, 'already_running', /is open already/);
  doc.close();
  doc.close();
  fails(() => doc.value(), 'closed');
  fails(() => doc.set(['x'], 1), 'closed');
  fails(() => doc.receive({ id: 'x' }), 'closed');
  await assert.rejects(doc.flush(), { code: 'closed' });
  const again = open();
  assert.deepEqual(again.value(), { x: { deep: [] } });
  await again.checkpoint();
  assert.equal(again.set(['y'], 1).deps.A, 3);
  again.close();
  const last = open();
  assert.deepEqual(last.clock(), { A: 3 });
  last.close();
});

test('a damaged directory is told, and what is whole in it can be salvaged', (t) => {
  const directory = folder(t);
  const open = (options) => new JSONCrdt('A', {}, { directory, ...options });
  const doc = open();
  for (const key of ['a', 'b', 'c', 'd']) doc.set([key], `value of ${key}`);
  doc.close();
  const file = join(directory, 'journal-0');
  const bytes = readFileSync(file);
  bytes[bytes.indexOf('value of c')] ^= 1;
  writeFileSync(file, bytes);
  fails(open, 'invalid_message', /journal-0 is damaged at byte \d+: .*salvage/);
  const salvaged = open({ salvage: true });
  assert.deepEqual(Object.keys(salvaged.value()), ['a', 'b']);
  assert.match(salvaged.set(['e'], 1).src, /^A~/);
  salvaged.close();
  assert.deepEqual(readFileSync(join(directory, 'damaged-journal-0')), bytes);
  const again = open();
  assert.deepEqual(Object.keys(again.value()), ['a', 'b', 'e']);
  again.close();
  assert.ok(!readdirSync(directory).includes('journal-0'));
  fails(() => new JSONCrdt('A', {}, { salvage: true }), 'invalid_argument', /salvage/);
});

test('numbers are those of JavaScript', () => {
  const doc = named('A');
  const op = (value, seq) =>
    `{"id":"B:${seq}","kind":"set","path":["n${seq}"],"value":${value},"hlc":{"t":1,"c":${seq},"r":"B"},"deps":{"B":${seq}},"src":"B"}`;
  ['9007199254740993', '1e400', '-0', '1.50'].forEach((text, at) => assert.equal(doc.receive(op(text, at + 1)), true));
  assert.deepEqual(doc.value(), { n1: 9007199254740992, n2: null, n3: -0, n4: 1.5 });
  assert.equal(doc.canonical(), '{"n1":9007199254740993,"n2":null,"n3":0,"n4":1.5}');
});
