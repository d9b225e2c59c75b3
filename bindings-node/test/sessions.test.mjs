// Game sessions, on the broker that the package's own program brings.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';

import { distflow, installed, until as eventually } from './helpers.mjs';

const { SessionManager } = distflow;

const cli = join(installed, 'node_modules/.bin/distflow');
const broker = spawn(cli, ['broker', 'start', '--mqtt-port', '0', '--json']);
const [started] = await once(createInterface(broker.stdout), 'line');
const url = `mqtt://127.0.0.1:${JSON.parse(started).port}`;
after(() => broker.kill());

async function until(condition, emitter, event) {
  while (!condition()) await once(emitter, event);
}

test('two meet, one leaves, and the session is closed', async () => {
  const manager = new SessionManager(url);
  const one = await manager.create({ modelName: 'Forest', playersMax: 3, seed: 7 });
  assert.equal(one.view.role, 'creator');
  assert.equal(one.seed, 7);
  const joined = once(one, 'memberJoined');
  const two = await manager.join(one.id);
  assert.deepEqual(await joined, [{ instance: two.instance }]);
  assert.deepEqual(two.members, [one.instance, two.instance]);
  const left = once(one, 'memberLeft');
  await two.leave();
  await two.leave();
  assert.deepEqual(await left, [{ instance: two.instance }]);
  assert.equal(two.view.ending, 'left');
  await assert.rejects(two.reserve('Farmer'), { code: 'closed' });
  const three = await manager.join(one.id);
  const ended = once(three, 'ended');
  await one.close();
  assert.equal((await ended)[0].reason, 'closed');
  await three.leave();
  one.unref();
});

test('a game is prepared and started', async () => {
  const manager = new SessionManager(url);
  const one = await manager.create({ playersMin: 2 });
  await assert.rejects(one.start('3'), { code: 'invalid_argument', message: /countdownS/ });
  await assert.rejects(one.start(), { code: 'refused', message: /1 of at least 2 members/ });
  const two = await manager.join(one.id);
  const reserved = once(one, 'reserved');
  await two.reserve('Farmer');
  assert.deepEqual(await reserved, [{ player: 'Farmer', instance: two.instance }]);
  await assert.rejects(one.reserve('Farmer'), { code: 'refused', message: /is taken/ });
  const selected = once(two, 'allPlayersSelected');
  await two.register('Farmer');
  await one.register('Hunter');
  await selected;
  assert.deepEqual(two.view.registered, { Farmer: two.instance, Hunter: one.instance });
  const begun = once(two, 'gameStarted');
  await one.start(1);
  assert.deepEqual(await begun, [{ by: one.instance, kind: 'manual' }]);
  await assert.rejects(two.start(), { code: 'refused', message: /only the session's creator/ });
  const said = once(one, 'game');
  await two.publish('nextTurn', '{"clientId": "ü"}');
  const turn = '{"clientId": "ü"}';
  assert.deepEqual(await said, [{ name: 'nextTurn', payload: turn, bytes: Buffer.from(turn) }]);
  const drawn = once(one, 'game');
  const image = Buffer.from([0xff, 0, 0x80, 0x41]);
  await two.publish('image', image);
  const [{ payload, bytes }] = await drawn;
  assert.deepEqual([payload, bytes], ['\ufffd\0\ufffdA', image]);
  await assert.rejects(two.publish('image', 7), { code: 'invalid_argument', message: /payload/ });
  await Promise.all([two.leave(), one.close()]);
  one.unref();
});

test('a session is handed over', async () => {
  const manager = new SessionManager(url);
  const one = await manager.create({ handOver: true });
  const two = await manager.join(one.id);
  const changed = once(two, 'creatorChanged');
  await one.handOver();
  assert.deepEqual(await changed, [{ creator: two.instance, term: 1 }]);
  assert.equal(two.view.role, 'creator');
  await one.leave();
  two.unref();
});

test('ten join at once, and the list shows them', async (t) => {
  const manager = new SessionManager(url);
  const list = await manager.list();
  t.after(() => list.close());
  const one = await manager.create({ modelName: 'Lake', playersMax: 11 });
  const others = await Promise.all(Array.from({ length: 10 }, () => manager.join(one.id)));
  const row = () => list.rows(one.id).find(({ sessionId }) => sessionId === one.id);
  await until(() => row()?.text === 'Lake ✓ (11/11 instances (Full))', list, 'changed');
  assert.equal(row().background, '#e3f2fd');
  const listed = list.sessions.find(({ sessionId }) => sessionId === one.id);
  assert.equal(listed.members.length, 11);
  assert.equal(listed.isJoinable, false);
  await assert.rejects(manager.join(one.id), { code: 'refused', message: /is full/ });
  await Promise.all(others.map((other) => other.leave()));
  await until(() => row()?.text === 'Lake ✓ (1/1-11 instances (Ready))', list, 'changed');
  one.unref();
  await one.close();
});

test('what is wrong is named', async () => {
  const manager = new SessionManager(url);
  for (const [broker, message] of [
    [[5], /url must be/],
    [['http://x'], /begins with mqtt/],
    [[url, { keepAliveS: 1 }], /keepAliveS must be/],
    [[url, { connectTimeoutMs: NaN }], /connectTimeoutMs must be a number, not NaN/],
    [[url, { keepAliveS: 5n }], /keepAliveS must be a number, not 5/],
  ]) {
    assert.throws(() => new SessionManager(...broker), { code: 'invalid_argument', message });
  }
  for (const [call, code, message] of [
    [() => new SessionManager('http://x').create(), 'invalid_argument', /begins with mqtt/],
    [() => new SessionManager('mqtt://x', { ca: 1 }).create(), 'invalid_argument', /unknown field `ca`/],
    [() => manager.create({ playersMax: 0 }), 'invalid_argument', /playersMax must be 1 to 1024/],
    [() => manager.create({ players: 2 }), 'invalid_argument', /unknown field `players`/],
    [() => manager.join('a/b'), 'invalid_argument', /'\/'/],
    [() => manager.join(), 'invalid_argument', /sessionId must be a string/],
    [() => manager.join('x', 5), 'invalid_argument', /instance must be a string/],
    [() => manager.create({ sessionId: 5 }), 'invalid_argument', /sessionId must be a string/],
    [() => manager.create({ playersMax: Infinity }), 'invalid_argument', /playersMax must be a number/],
    [() => manager.create({ seed: '7' }), 'invalid_argument', /seed must be a whole number/],
    [() => manager.join('nowhere'), 'refused', /no session of this id/],
    [
      () => new SessionManager('mqtt://127.0.0.1:1', { connectTimeoutMs: 3_000 }).list(),
      'timeout',
      /mqtt:\/\/127.0.0.1:1 was not reached in time: .*refused/,
    ],
  ]) {
    await assert.rejects(async () => call(), { code, message });
  }
});

test('calls in a loop without waiting are refused at a bound while there is no broker', async (t) => {
  // The program itself, which can be killed.
  const file = join(installed, 'node_modules/@distflow/native/bin/distflow');
  const gone = spawn(file, ['broker', 'start', '--mqtt-port', '0', '--json']);
  t.after(() => gone.kill());
  const [line] = await once(createInterface(gone.stdout), 'line');
  const session = await new SessionManager(`mqtt://127.0.0.1:${JSON.parse(line).port}`).create({});
  t.after(() => session.leave());
  gone.kill('SIGKILL');
  await once(gone, 'close');
  await eventually(() => !session.view.isConnected, 'the end of the connection');
  const calls = Array.from({ length: 20_000 }, () => session.publish('move', 'x'));
  const results = await Promise.allSettled(calls);
  const refused = results.filter(({ status }) => status === 'rejected');
  // Those that wait for the connection; what is refused before that depends on the threads.
  assert.ok(refused.length >= 19_000, `${refused.length}`);
  assert.deepEqual([...new Set(refused.map(({ reason }) => reason.code))], ['busy']);
});
