// Processes in four languages in one cluster: each sends to each other, and every order is checked.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { Process, compileC, examples, pmd, program, project, python } from './processes.mjs';

const MESSAGES = 10_000;

/** Sends to every other process, in turns, without outrunning the pipe. */
async function send(processes, from) {
  const targets = processes.filter((other) => other !== from);
  for (let first = 0; first < MESSAGES; first += 500) {
    let text = '';
    for (let n = first; n < first + 500; n++) {
      for (const { alias: to } of targets) {
        text += `${JSON.stringify({ to, payload: { from: from.alias, to, n } })}\n`;
      }
    }
    if (!from.process.child.stdin.write(text)) {
      await new Promise((resolve) => from.process.child.stdin.once('drain', resolve));
    }
  }
}

/** Reads until everything has come; throws at the first message that is not the next one. */
async function receive(processes, { alias, process }) {
  const next = new Map(processes.filter((other) => other.alias !== alias).map((o) => [o.alias, 0]));
  for (let missing = MESSAGES * next.size; missing > 0; ) {
    const event = JSON.parse(await process.line());
    assert.notEqual(event.event, 'error', JSON.stringify(event));
    if (event.event !== 'message') continue;
    const { from, to, n } = event.payload;
    assert.equal(to, alias);
    assert.equal(n, next.get(from), `${from} to ${to}`);
    next.set(from, n + 1);
    missing -= 1;
  }
}

test('Node.js, C, Rust and Python exchange 10,000 messages each way, in order', { timeout: 240_000 }, async (t) => {
  const port = String(await pmd(t));
  const start = (alias, command, ...args) => ({
    alias,
    process: Process.run(t, command, [...args, '--alias', alias, '--port', port]),
  });
  const processes = [
    start('js', join(examples, 'node.js')),
    start('c', compileC(t, join(project, 'examples/c/node.c'))),
    start('rust', program(), 'node', 'run', '--no-auto-start', '--until-eof'),
    start('python', python(), join(project, 'examples/python/node.py')),
  ];
  const languages = [];
  for (const { process } of processes) languages.push((await process.event('started')).language);
  assert.deepEqual(languages, ['Node.js', 'C', undefined, 'Python']);

  const begun = performance.now();
  const receiving = processes.map((one) => receive(processes, one));
  await Promise.all([...processes.map((one) => send(processes, one)), ...receiving]);
  const seconds = (performance.now() - begun) / 1e3;
  const count = MESSAGES * processes.length * (processes.length - 1);
  t.diagnostic(`${count} messages after ${seconds.toFixed(1)} s`);

  for (const { process } of processes) process.closeInput();
  for (const { process } of processes) {
    await process.event('stopped');
    assert.equal(await process.end(), 0, process.errors);
  }
});
