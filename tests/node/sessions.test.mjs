// One game session of instances in four languages.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';

import { Process, compileC, packageFolder, program, project, python } from './processes.mjs';

const { SessionManager } = createRequire(import.meta.url)(packageFolder);

const PYTHON = `
import sys
from distflow.sessions import SessionManager

with SessionManager(sys.argv[1]).join("four") as session:
    print("in", session.instance, flush=True)
    session.reserve("Farmer")
    for event in session:
        if event.type == "game":
            print("game", event.name, event.payload.decode(), flush=True)
        elif event.type == "ended":
            print("ended", event.reason, flush=True)
            break
`;

/** Waits until a session has so many members. */
async function count(session, members) {
  while (session.members.length !== members) {
    await Promise.race([once(session, 'memberJoined'), once(session, 'memberLeft')]);
  }
}

test('Rust, C, Python and Node.js are in one session', { timeout: 120_000 }, async (t) => {
  const broker = Process.run(t, program(), ['broker', 'start', '--mqtt-port', '0', '--json']);
  const url = `mqtt://127.0.0.1:${JSON.parse(await broker.line()).port}`;

  const create = ['session', 'create', '--id', 'four', '--max', '4', '--json', '--broker', url];
  const rust = Process.run(t, program(), create);
  await rust.event('in');
  const c = Process.run(t, compileC(t, join(project, 'examples/c/session.c')), ['join', 'four', url]);
  await c.after('joined ');
  const py = Process.run(t, python(), ['-c', PYTHON, url]);
  const pyInstance = await py.after('in ');
  const session = await new SessionManager(url).join('four');
  t.after(() => session.leave());
  await count(session, 4);
  await assert.rejects(new SessionManager(url).join('four'), { code: 'refused' });
  while (session.view.reserved.Farmer !== pyInstance) await once(session, 'reserved');

  // What one says, all hear.
  const said = once(session, 'game');
  c.write('from C\n');
  assert.equal((await said)[0].payload.toString(), 'from C');
  assert.equal(await py.after('game line '), 'from C');
  await session.publish('line', 'from Node.js');
  assert.equal(await py.after('game line '), 'from Node.js');
  await c.find((line) => line === 'line: from Node.js');
  const heard = (line) => {
    const { event } = JSON.parse(line);
    return event?.type === 'game' && event.payload === 'from Node.js';
  };
  await rust.find(heard);

  const left = once(session, 'memberLeft');
  await c.kill();
  await left;
  await count(session, 3);

  const ended = once(session, 'ended');
  rust.child.kill('SIGINT');
  assert.equal((await ended)[0].reason, 'closed');
  assert.equal(await py.after('ended '), 'closed');
  assert.equal(await py.end(), 0, py.errors);
});
