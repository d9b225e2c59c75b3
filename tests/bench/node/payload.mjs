// The payloads: objects of an exact size as JSON text, each with a number of its own. The same as
// those of the benchmark in Rust.

/** Number of the first message; all have ten digits, so every text has the same length. */
const FIRST = 1_000_000_000;
/** Numbers that are no messages: the measured part begins, and the stream ends. */
export const MARK = 9_999_999_998;
export const END = 9_999_999_999;

/** An object of exactly `size` bytes of JSON, at least 100. */
export function payload(size) {
  const object = {
    seq: FIRST,
    type: 'reading',
    at: 1_700_000_000,
    value: 21.5,
    unit: 'C',
    ok: true,
  };
  let item = 0;
  while (JSON.stringify(object).length + 99 < size) {
    const name = `item${String(item).padStart(2, '0')}`;
    object[name] = { title: 'a line of ordinary text', size: 120 + item, tags: ['new'] };
    item += 1;
  }
  object.by = '';
  const missing = size - JSON.stringify(object).length;
  object.by = 'abcdefghijklmnopqrstuvwxyz'.repeat(1 + missing / 26).slice(0, missing);
  if (JSON.stringify(object).length !== size) throw new Error(`no payload of ${size} bytes`);
  return object;
}

/**
 * Sends for a while: first to warm up, then measured. `send` takes an object and returns a promise
 * when the next one has to wait. Returns the processor time of a measured message's side.
 */
export async function stream(size, milliseconds, send) {
  const object = payload(size);
  let sent = 0;
  const phase = async (length) => {
    const start = performance.now();
    const first = sent;
    // The clock is looked at every so often.
    do {
      for (let i = 0; i < 64; i++) {
        object.seq = FIRST + sent;
        // A second member that changes, as the time in most messages does.
        object.at = 1_700_000_000 + (sent % 100_000);
        sent += 1;
        const wait = send(object);
        if (wait) await wait;
      }
    } while (performance.now() - start < length);
    return sent - first;
  };
  await phase(milliseconds / 2);
  await send({ seq: MARK });
  const cpu = process.cpuUsage();
  const count = await phase(milliseconds);
  await send({ seq: END });
  const { user, system } = process.cpuUsage(cpu);
  return { count, cpu: (user + system) / count };
}

/** Takes a stream apart again: order and count are checked. */
export class Order {
  #next = FIRST;
  #count = 0;
  #start = 0;
  #cpu;

  constructor(finish) {
    this.finish = finish;
  }

  take(object) {
    const { seq } = object;
    if (seq === this.#next) {
      this.#next += 1;
      this.#count += 1;
    } else if (seq === MARK) {
      this.#count = 0;
      this.#start = performance.now();
      this.#cpu = process.cpuUsage();
    } else if (seq === END) {
      const seconds = (performance.now() - this.#start) / 1e3;
      const { user, system } = process.cpuUsage(this.#cpu);
      const count = this.#count;
      this.finish({ count, rate: count / seconds, cpu: (user + system) / count });
    } else {
      throw new Error(`message ${seq} instead of ${this.#next}`);
    }
  }
}

/** Times round trips after some to warm up. `trip` sends an object and resolves to the answer. */
export async function trips(count, trip) {
  const object = payload(100);
  const times = [];
  const warm = count / 4;
  for (let number = 0; number < warm + count; number++) {
    object.seq = FIRST + number;
    const start = performance.now();
    const answer = await trip(object);
    const time = (performance.now() - start) * 1e3;
    if (answer.seq !== object.seq) throw new Error(`answer ${answer.seq} to ${object.seq}`);
    if (number >= warm) times.push(time);
  }
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor((times.length - 1) * share)];
  return { p50: at(0.5), p99: at(0.99) };
}
