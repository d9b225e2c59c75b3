// A child of the benchmark, in one role: `node contestant.mjs NAME ROLE …`. Says `ready ADDRESS`
// and `result JSON` on standard output, and ends with its standard input.

import { Order, stream, trips } from './payload.mjs';

const [name, role, ...words] = process.argv.slice(2);

const say = (line) => process.stdout.write(`${line}\n`);
const result = (figures) => say(`result ${JSON.stringify(figures)}`);
const ready = (address) => say(`ready ${address}`);

process.stdin.on('close', () => process.exit()).resume();
process.on('uncaughtException', (error) => {
  say(`failed ${name} ${role}: ${error.stack.replaceAll('\n', ' ')}`);
  process.exit(1);
});

const peer = await import(`./peers/${name}.mjs`);
const roles = {
  /** Words: what the peer needs to be found. */
  async receive(setting) {
    const order = new Order(result);
    ready(await peer.receive((object) => order.take(object), setting));
  },
  /** Words: what the receiver said, size, milliseconds, setting. */
  async send(address, size, milliseconds, setting) {
    const { send, flush } = await peer.connect(address, setting);
    const figures = await stream(Number(size), Number(milliseconds), send);
    await flush?.();
    result(figures);
  },
  async echo(setting) {
    ready(await peer.echo(setting));
  },
  async ping(address, count, setting) {
    result(await trips(Number(count), await peer.pinger(address, setting)));
  },
};
await roles[role](...words);
