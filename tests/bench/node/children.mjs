// Child processes that never outlive the benchmark.

import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

/** How long a child may take to say something. */
const PATIENCE_MS = 90_000;

/** A process that reports in lines. */
export class Child {
  #lines = [];
  #waiting = [];
  #ended = false;

  constructor(command, args, cpu) {
    this.name = [command, ...args].join(' ');
    const pinned = cpu === undefined ? [command, ...args] : ['taskset', '-c', cpu, command, ...args];
    this.started = process.hrtime.bigint();
    this.child = spawn(pinned[0], pinned.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    this.child.on('error', (error) => this.#take(`failed ${error.message}`));
    this.child.stdin.on('error', () => {});
    let text = '';
    this.child.stdout.setEncoding('utf8').on('data', (more) => {
      const lines = (text + more).split('\n');
      text = lines.pop();
      lines.forEach((line) => this.#take(line));
    });
    this.child.stdout.on('close', () => {
      this.#ended = true;
      this.#waiting.splice(0).forEach((waiting) => waiting());
    });
  }

  #take(line) {
    this.#lines.push(line);
    this.#waiting.shift()?.();
  }

  /** A script of this folder. */
  static script(file, args, cpu) {
    return new Child(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...args], cpu);
  }

  get pid() {
    return this.child.pid;
  }

  /** The rest of the next line that starts so. */
  async after(start) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const line = this.#lines.shift();
      if (line?.startsWith(start)) return line.slice(start.length).trim();
      if (line?.startsWith('failed ')) throw new Error(`${this.name}: ${line}`);
      if (line !== undefined) continue;
      const left = deadline - Date.now();
      if (this.#ended || left <= 0) throw new Error(`no '${start}' from ${this.name}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async result() {
    return JSON.parse(await this.after('result '));
  }

  async end() {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs something with children, which are gone afterwards. */
export async function withChildren(run) {
  const children = [];
  const keep = (child) => {
    children.push(child);
    return child;
  };
  try {
    return await run(keep);
  } finally {
    for (const child of children.reverse()) await child.end();
  }
}
