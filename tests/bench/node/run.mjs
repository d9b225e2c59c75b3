// Benchmark of @distflow/native beside its yardsticks, interleaved in one run:
//
//     node tests/bench/node/run.mjs [--quick] [--rounds N] [--seconds S] [--only stream,trip,start]
//         [--json FILE] [--no-install] [--no-pin]
//
// Each side of a stream is pinned to a processor of its own, with all of its threads. The package
// is the one of this checkout, built; DISTFLOW_PACKAGE names another folder.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { outcomes, words } from './aims.mjs';
import { Child, freePort, withChildren } from './children.mjs';
import { Samples, spread } from './samples.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));
const packageFolder = process.env.DISTFLOW_PACKAGE ?? join(folder, '../../../bindings-node');
process.env.DISTFLOW_PACKAGE = packageFolder;

const SIZES = [100, 1_024];
const PEERS = ['distflow', 'net', 'net-batched', 'zeromq', 'nats'];
const TITLES = {
  distflow: '@distflow/native',
  net: 'net, a write a message',
  'net-batched': 'net, batched',
  zeromq: 'zeromq.js push/pull',
  nats: 'nats',
};

const { values: given } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'string' },
    'no-install': { type: 'boolean', default: false },
    'no-pin': { type: 'boolean', default: false },
  },
});
const rounds = Number(given.rounds ?? (given.quick ? 1 : 3));
const milliseconds = 1_000 * Number(given.seconds ?? (given.quick ? 0.5 : 1));
const only = (given.only ?? 'stream,trip,start').split(',');
const [serverCpu, clientCpu] = cpus().length > 1 && !given['no-pin'] ? ['0', '1'] : [];
const missing = [];
const samples = new Samples();

// ------------------------------------------------------------------------------- the yardsticks

const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

function install() {
  if (!existsSync(join(folder, 'node_modules/zeromq')) && !given['no-install']) {
    const options = { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] };
    spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], options);
  }
  if (!runs('nats-server') && process.getuid?.() === 0 && !given['no-install']) {
    const options = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
    spawnSync('apt-get', ['update', '-qq'], options);
    spawnSync('apt-get', ['install', '-qq', '-y', '--no-install-recommends', 'nats-server'], options);
  }
}

/** The contestants there are; what is missing is told at the end. */
async function contestants() {
  install();
  const problems = {
    zeromq: await import('zeromq').then(() => '', (error) => error.message.split('\n')[0]),
    nats: await import('nats').then(() => '', (error) => error.message.split('\n')[0]),
  };
  if (!problems.nats && !runs('nats-server')) problems.nats = 'apt-get install nats-server';
  for (const [name, problem] of Object.entries(problems)) {
    if (problem) missing.push(`${name}: ${problem}`);
  }
  return PEERS.filter((name) => !problems[name]);
}

/** The `distflow` program of the package. */
function program() {
  const { executable } = createRequire(import.meta.url)(join(packageFolder, 'dist/native.js'));
  const found = executable();
  if (!found) throw new Error(`${packageFolder} is not built: npm run build`);
  return found;
}

/** Starts what a contestant needs beside its two sides; its port. */
async function server(name, keep) {
  if (name === 'distflow') {
    const args = ['pmd', 'start', '--port', '0', '--auto-shutdown-ms', '0'];
    return keep(new Child(program(), args)).after('PMD started on port ');
  }
  if (name !== 'nats') return '';
  const port = await freePort();
  keep(new Child('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-l', '/dev/null']));
  // The client tries again only once it was connected.
  const { connect } = await import('nats');
  const options = { servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 20 };
  await (await connect(options)).close();
  return String(port);
}

// ---------------------------------------------------------------------------------- measurements

async function stream(name, size) {
  await withChildren(async (keep) => {
    const port = await server(name, keep);
    const side = (cpu, ...words) => keep(Child.script('contestant.mjs', [name, ...words], cpu));
    const receiver = side(serverCpu, 'receive', port);
    const address = await receiver.after('ready ');
    const sender = side(clientCpu, 'send', address, String(size), String(milliseconds), port);
    const [received, sent] = await Promise.all([receiver.result(), sender.result()]);
    if (received.count !== sent.count) {
      throw new Error(`${name}: ${sent.count} sent, ${received.count} came`);
    }
    const key = `stream${size}.${name}`;
    samples.add(`${key}.rate`, received.rate);
    samples.add(`${key}.send`, sent.cpu);
    samples.add(`${key}.receive`, received.cpu);
  });
}

async function trip(name) {
  await withChildren(async (keep) => {
    const port = await server(name, keep);
    const count = String(given.quick ? 3_000 : 20_000);
    const side = (cpu, ...words) => keep(Child.script('contestant.mjs', [name, ...words], cpu));
    const address = await side(serverCpu, 'echo', port).after('ready ');
    const { p50, p99 } = await side(clientCpu, 'ping', address, count, port).result();
    samples.add(`trip.${name}.p50`, p50);
    samples.add(`trip.${name}.p99`, p99);
  });
}

/** Resident memory of a process in MiB. */
function residentMib(pid) {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kib) / 1_024;
}

/** The PMD that serves a port: nobody's child, so it is looked for. */
function pmdOf(port) {
  const isIt = (pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words.includes('pmd') && words.includes(String(port));
    } catch {
      return false;
    }
  };
  const found = readdirSync('/proc').find((name) => /^\d+$/.test(name) && isIt(name));
  if (!found) throw new Error('the launched PMD is not found');
  return found;
}

async function start() {
  const times = { bare: [], first: [], second: [] };
  const memory = { bare: [], node: [], pmd: [] };
  // One at a time: what others still do after their start would be measured too.
  const begin = (kind, key, port) =>
    withChildren(async (keep) => {
      const child = keep(Child.script('start.mjs', [kind, String(port)]));
      const at = BigInt(await child.after('ready '));
      times[key].push(Number(at - child.started) / 1e6);
      if (key === 'first') memory.pmd.push(residentMib(pmdOf(port)));
      else memory[kind].push(residentMib(child.pid));
    });
  for (let i = 0; i < (given.quick ? 5 : 15); i++) {
    const port = await freePort();
    try {
      await begin('bare', 'bare');
      await begin('node', 'first', port);
      // The PMD stays for a while without a node.
      await begin('node', 'second', port);
    } finally {
      spawnSync(program(), ['pmd', 'kill', '--port', String(port)], { stdio: 'ignore' });
    }
  }
  for (const key of Object.keys(times)) samples.add(`start.${key}`, spread(times[key]).median);
  for (const key of Object.keys(memory)) samples.add(`memory.${key}`, spread(memory[key]).median);
}

// ---------------------------------------------------------------------------------------- report

function figure(unit, key) {
  const found = samples.spread(key);
  if (!found) return '-';
  const median = words(unit, found.median);
  if (found.min === found.max) return median;
  return `${median} [${words(unit, found.min)}..${words(unit, found.max)}]`;
}

function table(title, head, rows) {
  if (!rows.some((row) => row.slice(1).some((cell) => cell !== '-'))) return;
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  console.log(`\n${title}`);
  for (const line of lines) {
    const cells = line.map((cell, column) => cell.padEnd(widths[column]));
    console.log(`  ${cells.join('  ').trimEnd()}`);
  }
}

function report(peers) {
  for (const size of SIZES) {
    const title = `Messages of ${size} B, one direction; processor time per message`;
    const row = (name) => {
      const key = `stream${size}.${name}`;
      const cells = [['rate', 'rate'], ['us', 'send'], ['us', 'receive']];
      return [TITLES[name], ...cells.map(([unit, what]) => figure(unit, `${key}.${what}`))];
    };
    table(title, ['', 'messages', 'CPU send', 'CPU receive'], peers.map(row));
  }
  const trips = peers.map((name) => [
    TITLES[name],
    figure('us', `trip.${name}.p50`),
    figure('us', `trip.${name}.p99`),
  ]);
  table('Round trip, 100 B', ['', 'p50', 'p99'], trips);
  table('From the start of a process', ['', 'time', 'memory'], [
    ['bare Node', figure('ms', 'start.bare'), figure('mib', 'memory.bare')],
    ['node, starts the PMD', figure('ms', 'start.first'), '-'],
    ['node, PMD is there', figure('ms', 'start.second'), figure('mib', 'memory.node')],
    ['the PMD', '-', figure('mib', 'memory.pmd')],
  ]);
  const lines = outcomes(samples).map((it) => [
    it.what,
    it.measured ?? '-',
    it.yardstick ?? '-',
    it.compared ?? '-',
    it.spread ?? '-',
    it.aim,
    it.met === undefined ? 'not measured' : it.met ? 'met' : 'NOT met',
  ]);
  table('Aims', ['what', 'measured', 'yardstick', 'compared', 'rounds', 'aim', ''], lines);
  for (const line of missing) console.log(`missing yardstick: ${line}`);
}

function writeJson(file) {
  const figures = {};
  for (const [key, values] of samples.figures) {
    figures[key] = { median: samples.spread(key).median, rounds: values };
  }
  const node = process.version;
  const units = 'rates per second, processor time and trips in microseconds, starts in ms, MiB';
  const all = { node, units, quick: given.quick, missing, figures, aims: outcomes(samples) };
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
}

const peers = await contestants();
const load = () => execFileSync('cut', ['-d', ' ', '-f', '1', '/proc/loadavg']).toString().trim();
console.log(`Node.js ${process.version}, ${cpus().length} processors, load ${load()} at the start`);
for (let round = 1; round <= rounds; round++) {
  const begun = performance.now();
  if (only.includes('stream')) {
    for (const size of SIZES) for (const name of peers) await stream(name, size);
  }
  if (only.includes('trip')) {
    for (const name of peers) if (name !== 'net-batched') await trip(name);
  }
  if (only.includes('start')) await start();
  const seconds = ((performance.now() - begun) / 1e3).toFixed(0);
  console.error(`round ${round} of ${rounds} took ${seconds} s`);
}
report(peers);
if (given.json) writeJson(given.json);
