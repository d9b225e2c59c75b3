// The example programs, as real processes on a PMD of each test's own.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { Page } from './browser.mjs';
import { Process, examples, packageFolder, pmd, program, project, python } from './processes.mjs';

const example = (name) => join(examples, name);

/** Wrong arguments are answered by how they should be. */
function expectUsage(file, lists) {
  for (const list of lists) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...list]);
    const text = stderr.toString();
    assert.match(text, /^usage: [^\n]*\n$/, JSON.stringify(list));
    assert.equal(stdout.length, 0, JSON.stringify(list));
    assert.equal(status, 2, JSON.stringify(list));
  }
}

/** Compiles the TypeScript example into a folder; its path there. */
function compiled(t) {
  // Within the examples, where the package is found.
  const folder = mkdtempSync(join(examples, 'node_modules', 'compiled-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const tsc = join(packageFolder, 'node_modules/typescript/bin/tsc');
  const roots = join(packageFolder, 'node_modules/@types');
  const args = [tsc, '-p', examples, '--outDir', folder, '--typeRoots', roots];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: examples });
  assert.equal(status, 0, stdout.toString());
  return join(folder, 'ping-pong.js');
}

async function pingPong(t, file) {
  const port = String(await pmd(t));
  // Nobody is there yet.
  const alone = Process.node(t, [file, 'ping', port]);
  assert.equal(await alone.end(), 1);
  assert.equal(alone.errors, 'Failed to resolve target: pong (resolve_failed)\n');

  const pong = Process.node(t, [file, 'pong', port]);
  await pong.after('ready as ');
  const ping = Process.node(t, [file, 'ping', port]);
  for (let number = 1; number <= 5; number++) {
    assert.match(await ping.line(), new RegExp(`^pong ${number} after [\\d.]+ ms$`));
  }
  assert.equal(await ping.end(), 0);
  pong.child.kill('SIGTERM');
  assert.equal(await pong.end(), 0);
  const wrong = [[], ['sing'], ['ping', '0'], ['ping', '65536'], ['pong', '12x'], ['ping', port, 'x']];
  expectUsage(file, wrong);
}

test('ping-pong talks in JavaScript', (t) => pingPong(t, example('ping-pong.js')));

test('ping-pong talks in TypeScript', (t) => pingPong(t, compiled(t)));

test('watch sees who is there and who comes and goes', async (t) => {
  const port = String(await pmd(t));
  const run = (alias) => Process.node(t, [example('node.js'), '--alias', alias, '--port', port]);
  await run('first').event('started');
  const watch = Process.node(t, [example('watch.js'), port]);
  assert.match(await watch.line(), /^here [0-9a-f]{16} first localhost:\d+$/);
  assert.equal(await watch.line(), 'ready');
  const second = run('second');
  assert.match(await watch.line(), /^join [0-9a-f]{16} second localhost:\d+$/);
  await second.kill();
  assert.match(await watch.line(), /^leave [0-9a-f]{16} second localhost:\d+ \w+$/);
  watch.closeInput();
  assert.equal(await watch.end(), 0);

  const interrupted = Process.node(t, [example('watch.js'), port]);
  await interrupted.after('ready');
  interrupted.child.kill('SIGINT');
  assert.equal(await interrupted.end(), 0);
  expectUsage(example('watch.js'), [['x'], ['0'], [port, 'more']]);
});

test('watch tells of a PMD that is lost and back', async (t) => {
  // Its own PMD, launched by the node and killed by us.
  const own = await pmd(t);
  const watch = Process.node(t, [example('watch.js'), String(own)]);
  await watch.after('ready');
  spawnSync(program(), ['pmd', 'kill', '--port', String(own)]);
  await watch.after('PMD lost: ');
  await watch.after('PMD restored');
  watch.closeInput();
  assert.equal(await watch.end(), 0);
  spawnSync(program(), ['pmd', 'kill', '--port', String(own)]);
});

test('node speaks the lines of distflow node run', async (t) => {
  const port = String(await pmd(t));
  const run = (alias) => Process.run(t, example('node.js'), ['--alias', alias, '--port', port]);
  const [a, b] = [run('a'), run('b')];
  const [startedA, startedB] = [await a.event('started'), await b.event('started')];
  assert.deepEqual(Object.keys(startedA), ['event', 'language', 'nodeId', 'alias', 'port', 'peers']);
  assert.equal(startedA.language, 'Node.js');
  const payloads = ['text', 0, null, true, [1, [2]], { a: { b: 'ä\n"\\' } }];
  for (const payload of payloads) a.write(`${JSON.stringify({ to: 'b', payload })}\n`);
  a.write(`  \n{"to":"${startedB.nodeId}"}\n`);
  for (const payload of payloads) {
    const { timestamp, ...message } = await b.event('message');
    assert.deepEqual(message, { event: 'message', from: startedA.nodeId, payload });
    assert.ok(Math.abs(Date.now() - timestamp) < 60_000);
  }
  assert.equal('payload' in (await b.event('message')), false);

  const wrong = ['x', '[]', 'null', '{}', '{"to":1}', '{"to":"b","payload":1,"more":2}'];
  for (const line of wrong) {
    a.write(`${line}\n`);
    assert.equal((await a.event('error')).code, 'invalid_message', line);
  }
  a.write('{"to":"nobody","payload":1}\n');
  const { code, error } = await a.event('error');
  assert.equal(code, 'resolve_failed');
  assert.equal(error, 'Failed to resolve target: nobody');

  b.closeInput();
  await b.event('stopped');
  assert.equal(await b.end(), 0);
  const left = await a.event('peer:leave');
  assert.equal(left.peer.alias, 'b');
  assert.equal(left.cause, 'unregistered');

  const taken = Process.node(t, [example('node.js'), '--alias', 'a', '--port', port]);
  assert.equal((await taken.event('error')).code, 'alias_in_use');
  assert.equal(await taken.end(), 1);
  const lists = [[], ['--alias', 'x'], ['--port', port], ['--alias', 'x', '--port', '0'], ['x']];
  expectUsage(example('node.js'), [...lists, ['--alias', 'x', '--port', port, '--more']]);
});

test('the demo has a Node.js process', async (t) => {
  const args = ['demo', '--nodes', '3', '--node-program', example('node.js')];
  const demo = Process.run(t, program(), args);
  await demo.find((line) => line.startsWith('Summary: 4 processes (3 Rust, 1 Node.js)'));
  assert.equal(await demo.end(), 0, demo.errors);
});

test('the status page shows who joins and leaves while it is open', async (t) => {
  const server = Process.node(t, [example('pmd-status/server.js'), '0', '0']);
  const [, port, url] = await server.find((line) => /^PMD on port (\d+), page at (.*)$/.exec(line));
  const run = (alias) => Process.node(t, [example('node.js'), '--alias', alias, '--port', port]);
  // A name that would be markup.
  const name = 'before<b>';
  const before = await run(name).event('started');

  const page = await Page.open(t, url);
  await page.until(`document.getElementById('node-${before.nodeId}')`);
  const after = run('after');
  const { nodeId } = await after.event('started');
  await page.until(`document.getElementById('node-${nodeId}')`);
  const rows = await page.value("[...document.querySelectorAll('tbody tr')].map((row) => row.cells[0].textContent)");
  assert.deepEqual(rows, [name, 'after']);
  assert.equal(await page.value("document.getElementById('state').textContent"), '2 registered');
  const list = await (await fetch(`${url}nodes`)).json();
  assert.deepEqual(list.map((node) => node.alias), [name, 'after']);
  await after.kill();
  await page.until(`!document.getElementById('node-${nodeId}')`);
  await page.until("document.getElementById('log').innerText.includes('leave after')");

  assert.equal((await fetch(`${url}none`)).status, 404);
  assert.equal((await fetch(url, { method: 'POST' })).status, 405);
  const again = Process.node(t, [example('pmd-status/server.js'), port, '0']);
  assert.equal(await again.end(), 1);
  assert.match(again.errors, /\(address_in_use\)$/m);
  const taken = Process.node(t, [example('pmd-status/server.js'), '0', new URL(url).port]);
  assert.equal(await taken.end(), 1);
  assert.match(taken.errors, /EADDRINUSE/);
  server.child.kill('SIGINT');
  assert.equal(await server.end(), 0);
  expectUsage(example('pmd-status/server.js'), [['x'], ['65536'], ['0', 'x'], ['0', '0', '0']]);
});

test('two to-do lists are one, also after having been apart', async (t) => {
  const port = String(await pmd(t));
  const run = (name) => Process.node(t, [example('todo.js'), name, port]);
  const ann = run('ann');
  await ann.after('ready');
  ann.write('add milk\nadd bread\n');
  ann.write('list\n');
  assert.deepEqual([await ann.line(), await ann.line()], ['1 [ ] milk', '2 [ ] bread']);
  // Who comes late is told of what was before.
  const bob = run('bob');
  await bob.after('ready');
  await bob.after('changed by ann');
  await bob.after('changed by ann');
  bob.write('done 1\n');
  await ann.after('changed by bob');
  ann.write('list\n');
  assert.deepEqual([await ann.line(), await ann.line()], ['1 [x] milk', '2 [ ] bread']);
  bob.write('nonsense\nquit\n');
  await bob.after('add <text>, done <number>, list, quit');
  assert.equal(await bob.end(), 0, bob.errors);
  ann.closeInput();
  assert.equal(await ann.end(), 0, ann.errors);
  expectUsage(example('todo.js'), [[], ['a b'], ['ann', '0'], ['ann', '1', 'x']]);
});

test('a to-do list is shared with the Python example', async (t) => {
  const port = String(await pmd(t));
  const ann = Process.node(t, [example('todo.js'), 'ann', port]);
  await ann.after('ready');
  const bob = Process.run(t, python(), [join(project, 'examples/python/todo.py'), 'bob', port]);
  await bob.after('* ready as bob');
  ann.write('add milk\n');
  await bob.after('* ann: [ ] milk');
  bob.write('done 1\n');
  await ann.after('changed by bob');
  ann.write('list\n');
  assert.equal(await ann.line(), '1 [x] milk');
  for (const process of [ann, bob]) {
    process.write('quit\n');
    assert.equal(await process.end(), 0, process.errors);
  }
});
