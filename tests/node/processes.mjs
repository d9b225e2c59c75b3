// Processes of the tests: none outlives its test, and every wait has an end.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The project's folder. */
export const project = fileURLToPath(new URL('../..', import.meta.url));
/** The package's folder. */
export const packageFolder = join(project, 'bindings-node');
/** The examples' folder. */
export const examples = join(project, 'examples/node');

/** Far more than any step takes. */
const LIMIT_MS = 30_000;

/**
 * Lets programs of a folder load the package of this checkout, as `npm install` there would.
 */
export function link(folder) {
  const place = join(folder, 'node_modules/@distflow/native');
  mkdirSync(dirname(place), { recursive: true });
  if (existsSync(place)) return;
  // A link that leads nowhere.
  if (lstatSync(place, { throwIfNoEntry: false })) unlinkSync(place);
  symlinkSync(packageFolder, place);
}

link(examples);

/** The `distflow` program of this checkout. */
export function program() {
  const { executable } = createRequire(import.meta.url)(join(packageFolder, 'dist/launcher.js'));
  const found = executable();
  if (!found) throw new Error('the distflow program is missing: npm run build in bindings-node');
  return found;
}

/** The folder with libdistflow: DISTFLOW_LIB_DIR, or what `make build` and `make test` leave. */
function libraryFolder() {
  const target = process.env.CARGO_TARGET_DIR ?? join(project, 'target');
  const folders = [process.env.DISTFLOW_LIB_DIR, join(target, 'release'), join(target, 'debug')];
  const found = folders.find((folder) => folder && existsSync(join(folder, 'libdistflow.so')));
  assert.ok(found, 'libdistflow.so is missing: cargo build --release -p distflow-ffi');
  return found;
}

/** The interpreter that `make` installs the Python package for. */
export function python() {
  const found = process.env.DISTFLOW_PYTHON ?? join(project, '.venv/bin/python');
  assert.ok(existsSync(found), `${found} is missing: make python`);
  return found;
}

/** Compiles a C program beside a copy of the library; both go with the test. */
export function compileC(t, source, ...flags) {
  const folder = mkdtempSync(join(tmpdir(), 'distflow-c-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const library = libraryFolder();
  symlinkSync(join(library, 'libdistflow.so'), join(folder, 'libdistflow.so.1'));
  const output = join(folder, 'program');
  const sources = [source, '-I', join(project, 'include')];
  const links = ['-L', library, '-ldistflow', `-Wl,-rpath,${folder}`];
  const { status, stderr } = spawnSync('cc', ['-O2', ...flags, ...sources, '-o', output, ...links]);
  assert.equal(status, 0, stderr?.toString());
  return output;
}

/** A running process that talks in lines. */
export class Process {
  #lines = [];
  #waiting;
  #ended = false;

  constructor(command, args, options = {}) {
    this.name = [command, ...args].join(' ');
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.errors = '';
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.errors += text));
    // Whoever is killed reads no more.
    this.child.stdin.on('error', () => {});
    // All of the output is read when it closes.
    this.closed = once(this.child, 'close');
    this.closed.catch(() => {});
    const lines = createInterface({ input: this.child.stdout });
    lines.on('line', (line) => {
      this.#lines.push(line);
      this.#waiting?.();
    });
    lines.on('close', () => {
      this.#ended = true;
      this.#waiting?.();
    });
  }

  /** Runs a JavaScript program and ends it with the test. */
  static node(t, args, options) {
    return Process.run(t, process.execPath, args, options);
  }

  /** Runs a program and ends it with the test. */
  static run(t, command, args, options) {
    const running = new Process(command, args, options);
    t.after(() => running.kill());
    return running;
  }

  /** Its next line. */
  async line() {
    const deadline = Date.now() + LIMIT_MS;
    while (this.#lines.length === 0) {
      if (this.#ended) throw new Error(`${this.name} ended: ${this.errors}`);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${this.name} says nothing: ${this.errors}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#waiting = undefined;
    }
    return this.#lines.shift();
  }

  /** The next line that a function finds something in, and what. */
  async find(look) {
    for (;;) {
      const found = look(await this.line());
      if (found) return found;
    }
  }

  /** The rest of the next line that starts so. */
  async after(start) {
    return this.find((line) => line.startsWith(start) && [line.slice(start.length).trim()]).then(
      ([rest]) => rest,
    );
  }

  /** The next line that is this event, parsed. */
  event(name) {
    return this.find((line) => {
      const event = JSON.parse(line);
      return event.event === name && event;
    });
  }

  write(text) {
    this.child.stdin.write(text);
  }

  closeInput() {
    this.child.stdin.end();
  }

  /** Its exit code, or the name of the signal that ended it. */
  async end() {
    const late = setTimeout(() => this.child.kill('SIGABRT'), LIMIT_MS);
    await this.closed;
    clearTimeout(late);
    return this.child.exitCode ?? this.child.signalCode;
  }

  /** Kills it and waits until it is gone. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.closed.catch(() => {});
  }
}

/** A PMD of a test's own; its port. */
export async function pmd(t) {
  const args = ['pmd', 'start', '--port', '0', '--auto-shutdown-ms', '0'];
  const running = Process.run(t, program(), args);
  return Number(await running.after('PMD started on port '));
}
