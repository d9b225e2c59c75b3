// What the tests of what is collected share: a broker, and programs that count what is left.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after } from 'node:test';

import { installed } from './helpers.mjs';

const cli = join(installed, 'node_modules/.bin/distflow');
const broker = spawn(cli, ['broker', 'start', '--mqtt-port', '0', '--json']);
const [started] = await once(createInterface(broker.stdout), 'line');
export const url = `mqtt://127.0.0.1:${JSON.parse(started).port}`;
after(() => broker.kill());

export const head = `
  const { JSONCrdt, NodeRuntime, PMD, PMDClient, SessionManager } = require('@distflow/native');
  const turn = () => new Promise((resolve) => setTimeout(resolve, 1));
  let [made, gone] = [0, 0];
  const registry = new FinalizationRegistry(() => (gone += 1));
  const track = (object) => (registry.register(object), (made += 1), object);
  /** Calls once more where a machine under load reached no broker in time. */
  const again = (call) => call().catch((error) => {
    if (error.code !== 'timeout') throw error;
    return call();
  });
  /** Runs \`one\` so many times, some at once. */
  const many = async (count, atOnce, one) => {
    let begun = 0;
    const some = async () => { while (begun < count) await one(begun++); };
    await Promise.all(Array.from({ length: atOnce }, some));
  };
  /** Collects until all are gone, or nothing more goes. */
  const collect = async () => {
    for (let [idle, before] = [0, -1]; gone < made && idle < 200; idle = gone === before ? idle + 1 : 0) {
      before = gone;
      await turn();
      gc();
    }
    return made - gone;
  };
`;

export const nodes = `async () => {
  const node = track(await NodeRuntime.create({ pmdPort }));
  node.onMessage(() => {});
  await node.shutdown();
}`;
export const sessions = `async () => {
  const session = track(await again(() => manager.create()));
  session.on('ended', () => {});
  await session.leave();
}`;
export const lists = `async () => {
  const list = track(await again(() => manager.list()));
  list.on('changed', () => {});
  list.close();
}`;
