// The code of the package's pages: every block is compiled strictly, if it is TypeScript, and run.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Process, link, packageFolder, pmd, program } from './processes.mjs';

/** Pages use the usual port; here it is one of the test's own. */
const PRELOAD = `
  const { NodeRuntime } = require('@distflow/native');
  for (const name of ['start', 'create']) {
    const original = NodeRuntime[name];
    const pmdPort = Number(process.env.PMD_PORT);
    NodeRuntime[name] = (options) => original.call(NodeRuntime, { pmdPort, ...options });
  }
`;
/** What the pages use of pino. */
const PINO = `
  const write = (level) => (members, msg) => console.log(JSON.stringify({ level, ...members, msg }));
  module.exports = () => ({ debug: write(20), info: write(30), warn: write(40), error: write(50) });
`;
/** A shell in which nothing is installed, and distflow uses the test's PMD. */
const SHELL = `
  npm() { [ "$*" = "install @distflow/native" ]; }
  npx() { shift; "$DISTFLOW" --port "$PMD_PORT" "$@"; }
`;

function blocks(page) {
  const text = readFileSync(join(packageFolder, page), 'utf8');
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    language: match[1],
    code: match[2],
  }));
}

function folderFor(t) {
  const folder = mkdtempSync(join(tmpdir(), 'distflow-pages-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  link(folder);
  symlinkSync(join(packageFolder, 'node_modules/@types'), join(folder, 'node_modules/@types'));
  mkdirSync(join(folder, 'node_modules/pino'));
  writeFileSync(join(folder, 'node_modules/pino/index.js'), PINO);
  writeFileSync(join(folder, 'preload.cjs'), PRELOAD);
  return folder;
}

function compile(folder) {
  const tsc = join(packageFolder, 'node_modules/typescript/bin/tsc');
  const flags = '--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --noUnusedLocals';
  const target = '--target es2022 --module node16 --types node --lib es2022,esnext.disposable';
  const args = [tsc, ...flags.split(' '), ...target.split(' '), 'block.mts'];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: folder });
  assert.equal(status, 0, stdout.toString());
}

function command(folder, { language, code }) {
  const preload = ['--require', join(folder, 'preload.cjs')];
  switch (language) {
    case 'ts':
      writeFileSync(join(folder, 'block.mts'), code);
      compile(folder);
      return [process.execPath, [...preload, join(folder, 'block.mjs')]];
    case 'js':
      writeFileSync(join(folder, 'block.cjs'), code);
      return [process.execPath, [...preload, join(folder, 'block.cjs')]];
    case 'sh':
      // With a socket as its input, bash may take itself for a remote shell and read a start-up file.
      return ['bash', ['--norc', '-euc', SHELL + code]];
    default:
      throw new Error(`nobody checks a block in '${language}'`);
  }
}

for (const block of ['README.md', 'MIGRATION.md'].flatMap(blocks)) {
  test(`${block.page}:${block.line} (${block.language})`, async (t) => {
    const folder = folderFor(t);
    const port = await pmd(t);
    // The shell starts and ends one itself.
    const starts = /pmd start/.test(block.code);
    if (starts) spawnSync(program(), ['pmd', 'kill', '--port', String(port)]);
    if (block.code.includes('mqtt://localhost')) {
      const broker = Process.run(t, program(), ['broker', 'start', '--mqtt-port', '0']);
      const [, address] = /^Broker started on (.*)$/.exec(await broker.line());
      block.code = block.code.replace('mqtt://localhost', `mqtt://${address}`);
    }
    const env = { ...process.env, PMD_PORT: String(port), DISTFLOW: program() };
    const running = Process.run(t, ...command(folder, block), { env });
    assert.equal(await running.end(), 0, running.errors);
    assert.equal(running.errors, '');
  });
}
