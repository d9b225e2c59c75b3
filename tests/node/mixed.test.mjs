// Processes in four languages in one cluster: each sends to each other, and every order is checked.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Process, examples, pmd, program, project } from './processes.mjs';

const MESSAGES = 10_000;

/** The folder with libdistflow: DISTFLOW_LIB_DIR, or what `make build` and `make test` leave. */
function libraryFolder() {
  const target = process.env.CARGO_TARGET_DIR ?? join(project, 'target');
  const folders = [process.env.DISTFLOW_LIB_DIR, join(target, 'release'), join(target, 'debug')];
  const found = folders.find((folder) => folder && existsSync(join(folder, 'libdistflow.so')));
  assert.ok(found, 'libdistflow.so is missing: cargo build --release -p distflow-ffi');
  return found;
}

/** The interpreter that `make` installs the Python package for. */
function python() {
  const found = process.env.DISTFLOW_PYTHON ?? join(project, '.venv/bin/python');
  assert.ok(existsSync(found), `${found} is missing: make python`);
  return found;
}

/** Compiles the C node. */
function compile(t) {
  const folder = mkdtempSync(join(tmpdir(), 'distflow-mixed-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const library = libraryFolder();
  symlinkSync(join(library, 'libdistflow.so'), join(folder, 'libdistflow.so.1'));
  const output = join(folder, 'node');
  const source = [join(project, 'examples/c/node.c'), '-I', join(project, 'include')];
  const links = ['-L', library, '-ldistflow', `-Wl,-rpath,${folder}`];
  const { status, stderr } = spawnSync('cc', ['-O2', ...source, '-o', output, ...links]);
  assert.equal(status, 0, stderr?.toString());
  return output;
}

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

test('Node.js, C, Rust and Python exchange 10,000 messages each way, in order', { timeout: 60_000 }, async (t) => {
  const port = String(await pmd(t));
  const start = (alias, command, ...args) => ({
    alias,
    process: Process.run(t, command, [...args, '--alias', alias, '--port', port]),
  });
  const processes = [
    start('js', join(examples, 'node.js')),
    start('c', compile(t)),
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
