// Benchmark of JSONCrdt beside yjs, loro-crdt and automerge, interleaved in one run:
//
//     node tests/bench/node/documents.mjs [--quick] [--rounds N] [--keys 100,10000] [--json FILE]
//
// A document is {k: {keyN: {v, s}}}; each set writes one v and gives the message that travels. The
// yardsticks keep history and sequences, and so do more work for each operation.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { Samples } from './samples.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));
process.env.DISTFLOW_PACKAGE ??= join(folder, '../../../bindings-node');

const CONTESTANTS = ['distflow', 'distflow-text', 'yjs', 'loro', 'automerge'];
const MERGED = 10_000;

const { values: given } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    keys: { type: 'string' },
    json: { type: 'string' },
    'no-install': { type: 'boolean', default: false },
    // Internal: what a child process does.
    memory: { type: 'string' },
  },
});
const rounds = Number(given.rounds ?? (given.quick ? 1 : 3));
const sizes = (given.keys ?? '100,1000,10000,100000').split(',').map(Number);
const samples = new Samples();

function initial(keys) {
  const k = {};
  for (let i = 0; i < keys; i++) k[`key${i}`] = { v: i, s: `s${i}` };
  return { k };
}
const pathsOf = (keys) => Array.from({ length: keys }, (_, i) => ['k', `key${i}`, 'v']);
const load = (name) => import(`./documents/${name}.mjs`);

function rate(count, run) {
  const begun = performance.now();
  for (let i = 0; i < count; i++) run(i);
  return (count / (performance.now() - begun)) * 1e3;
}
function time(run) {
  const begun = performance.now();
  const result = run();
  return [performance.now() - begun, result];
}

async function measure(name, keys) {
  const it = await load(name);
  const add = (what, value) => samples.add(`${name}.${keys}.${what}`, value);
  const share = it.share?.(keys) ?? 1;
  const slow = name.startsWith('distflow') ? 1 : 0.1;
  const count = Math.max(20, Math.round((given.quick ? 100_000 : 200_000) * slow * share));
  const [start, paths] = [initial(keys), pathsOf(keys)];
  const at = (i) => paths[(i * 7) % keys];
  {
    const [a, b] = [it.make('A', start), it.make('B', start)];
    // What is compiled on the way, and what a document does once, is not measured.
    const warm = Math.round(count / 5);
    for (let i = 0; i < warm; i++) it.receive(b, it.set(a, at(i), -i));
    const updates = [];
    add('set', rate(count, (i) => updates.push(it.set(a, at(i), i))));
    add('receive', rate(count, (i) => it.receive(b, updates[i])));
    add('get', rate(count, (i) => it.get(b, at(i))));
    const size = updates.reduce((sum, update) => sum + update.length, 0) / updates.length;
    add('update', size);
  }
  if (keys > 10_000) return;
  if (name !== 'distflow-text') {
    const ops = Math.max(20, Math.round(MERGED * share));
    const scale = MERGED / ops;
    const write = (doc, from) => {
      const updates = [];
      for (let i = 0; i < ops; i++) updates.push(it.set(doc, at(i * 3 + from), from + i));
      return updates;
    };
    const [a, b] = [it.make('A', start), it.make('B', start)];
    const [ofA, ofB] = [write(a, 0), write(b, 1)];
    const [ms] = time(() => {
      for (const update of ofB) it.receive(a, update);
      for (const update of ofA) it.receive(b, update);
    });
    add('merge', ms * scale);
    const [c, d] = [it.make('A', start, { history: ops }), it.make('B', start, { history: ops })];
    const known = it.version(c);
    write(c, 0);
    write(d, 1);
    const [batchMs] = time(() => {
      const [forC, forD] = [it.since(d, known), it.since(c, known)];
      it.receiveBatch(c, forC);
      it.receiveBatch(d, forD);
    });
    add('batch', batchMs * scale);
    const [snapshotMs, bytes] = time(() => it.snapshot(a));
    const [restoreMs, copy] = time(() => {
      const copy = it.restore('C', bytes);
      // Some only read when they are asked.
      it.get(copy, at(0));
      return copy;
    });
    add('snapshot', snapshotMs);
    add('restore', restoreMs);
    add('size', bytes.length / JSON.stringify(it.value(copy)).length);
    const values = Array.from({ length: 5 }, (_, i) => {
      it.set(a, at(i), `x${i}`);
      return time(() => it.value(a))[0];
    });
    add('value', Math.min(...values));
  }
}

/** Resident memory of two replicas above that of the process before them. */
async function memory(name, keys) {
  const it = await load(name);
  const resident = () => {
    globalThis.gc();
    const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return Number(kib) / 1_024;
  };
  const start = initial(keys);
  const paths = pathsOf(keys);
  // Wasm and native code are loaded, and the heap has grown, before it is measured.
  it.set(it.make('A', { k: { key0: { v: 1 } } }), paths[0], 2);
  const before = resident();
  const [a, b] = [it.make('A', start), it.make('B', start)];
  const count = Math.min(keys, Math.round(keys * (it.share?.(keys) ?? 1)) + 1);
  for (let i = 0; i < count; i++) it.receive(b, it.set(a, paths[i], i));
  const used = resident() - before;
  console.log(JSON.stringify({ used, kept: [a, b].length }));
}

function flatness() {
  const of = (keys) => samples.spread(`distflow-text.${keys}.set`)?.median;
  const [small, large] = [of(100), of(100_000)];
  return small && large ? small / large : undefined;
}

/** Sets per second after so many operations, and with so many deletes, beside those before. */
async function steady() {
  const it = await load('distflow');
  const paths = pathsOf(1_000);
  const doc = it.make('A', initial(1_000));
  const speed = () => rate(40_000, (i) => it.set(doc, paths[(i * 7) % 1_000], i));
  speed();
  const before = speed();
  samples.add('steady.after', speed() / before);
  for (let i = 0; i < 10_000; i++) {
    doc.set(['gone', `key${i}`], i);
    doc.del(['gone', `key${i}`]);
  }
  samples.add('steady.tombstones', before / speed());
}

const UNITS = {
  rate: (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(2)} M/s` : n >= 1e4 ? `${(n / 1e3).toFixed(0)} k/s` : `${n.toFixed(0)} /s`),
  ms: (n) => `${n < 10 ? n.toFixed(2) : n.toFixed(0)} ms`,
  mib: (n) => `${n.toFixed(1)} MiB`,
  bytes: (n) => `${n.toFixed(0)} B`,
  ratio: (n) => n.toFixed(2),
};
const ROWS = [
  ['set, with its message', 'set', 'rate'],
  ['receive one by one', 'receive', 'rate'],
  ['read at a path', 'get', 'rate'],
  ['size of a message', 'update', 'bytes'],
  ['merge 2 x 10,000 one by one', 'merge', 'ms'],
  ['merge as one delta each way', 'batch', 'ms'],
  ['snapshot', 'snapshot', 'ms'],
  ['restore', 'restore', 'ms'],
  ['snapshot / JSON of the document', 'size', 'ratio'],
  ['value()', 'value', 'ms'],
  ['memory of two replicas', 'memory', 'mib'],
];

function report() {
  for (const keys of sizes) {
    const rows = [[`${keys.toLocaleString('en')} keys`, ...CONTESTANTS]];
    for (const [title, what, unit] of ROWS) {
      const cells = CONTESTANTS.map((name) => {
        const found = samples.spread(`${name}.${keys}.${what}`);
        return found ? UNITS[unit](found.median) : '-';
      });
      if (cells.some((cell) => cell !== '-')) rows.push([title, ...cells]);
    }
    const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
    console.log();
    for (const row of rows) {
      console.log(`  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd()}`);
    }
  }
  console.log('\nAims');
  for (const { what, value, aim, met } of outcomes()) {
    const told = value === undefined ? 'not measured' : `${value.toFixed(2)}  ${met ? 'met' : 'NOT met'}`;
    console.log(`  ${what.padEnd(58)} ${aim.padEnd(10)} ${told}`);
  }
}

function outcomes() {
  const median = (key) => samples.spread(key)?.median;
  const best = (what, names, pick) => {
    const found = names.map((name) => median(`${name}.10000.${what}`)).filter((it) => it !== undefined);
    return found.length ? pick(...found) : undefined;
  };
  const over = (a, b) => (a !== undefined && b !== undefined ? a / b : undefined);
  const own = (what, name = 'distflow') => median(`${name}.10000.${what}`);
  const both = (name) => {
    const [out, back] = [median(`${name}.10000.snapshot`), median(`${name}.10000.restore`)];
    return out === undefined ? undefined : out + back;
  };
  const least = (what, aim, value) => ({ what, aim: `>= ${aim}`, value, met: value >= aim });
  const most = (what, aim, value) => ({ what, aim: `<= ${aim}`, value, met: value <= aim });
  const fast = (what) => best(what, ['yjs', 'loro'], Math.max);
  return [
    least('set, 10,000 keys: x the best of yjs and loro', 8, over(own('set'), fast('set'))),
    least('  the same by setEncoded', 8, over(own('set', 'distflow-text'), fast('set'))),
    least('  the same, per second (stretch)', 800_000, own('set', 'distflow-text')),
    least('receive, 10,000 keys: x the best', 10, over(own('receive'), fast('receive'))),
    least('  the same, per second (stretch)', 1_000_000, own('receive')),
    least('merge one by one: x yjs', 10, over(median('yjs.10000.merge'), own('merge'))),
    most('merge as one delta: x loro', 0.7, over(own('batch'), median('loro.10000.batch'))),
    most('snapshot and restore: x loro', 0.5, over(both('distflow'), both('loro'))),
    most('snapshot: x the JSON of the document', 1.5, own('size')),
    most('value(): x yjs', 1.3, over(own('value'), median('yjs.10000.value'))),
    most('memory of two replicas: x yjs', 0.3, over(own('memory'), median('yjs.10000.memory'))),
    most('time of a set at 100,000 keys: x that at 100', 3, flatness()),
    least('sets after 40,000 operations: x those before', 0.9, median('steady.after')),
    most('time of a set with 10,000 tombstones: x that without', 1.5, median('steady.tombstones')),
  ];
}

if (given.memory) {
  const [name, keys] = given.memory.split(' ');
  await memory(name, Number(keys));
} else {
  if (!existsSync(join(folder, 'node_modules/yjs')) && !given['no-install']) {
    const options = { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] };
    spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], options);
  }
  console.log(`Node.js ${process.version}, ${cpus().length} processors`);
  for (let round = 1; round <= rounds; round++) {
    const begun = performance.now();
    for (const keys of sizes) {
      for (const name of CONTESTANTS) {
        // It would take minutes.
        if (name === 'automerge' && keys > 10_000) continue;
        await measure(name, keys);
        if (keys > 10_000 || name === 'distflow-text') continue;
        const self = fileURLToPath(import.meta.url);
        const words = ['--expose-gc', self, '--memory', `${name} ${keys}`];
        const { used } = JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' }));
        samples.add(`${name}.${keys}.memory`, used);
      }
    }
    await steady();
    console.error(`round ${round} of ${rounds} took ${((performance.now() - begun) / 1e3).toFixed(0)} s`);
  }
  report();
  if (given.json) {
    const figures = {};
    for (const [key, values] of samples.figures) {
      figures[key] = { median: samples.spread(key).median, rounds: values };
    }
    writeFileSync(given.json, `${JSON.stringify({ node: process.version, figures, aims: outcomes() }, null, 2)}\n`);
  }
}
