import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** The folder in which the packed package is installed; see run.mjs. */
export const installed = process.env.DISTFLOW_INSTALLED;
if (!installed) throw new Error('run these tests with `npm test`, or `node test/run.mjs FILE…`');

export const require = createRequire(join(installed, 'program.js'));
export const distflow = require('@distflow/native');

/** An embedded PMD on a free port, which ends with the test. */
export async function startPmd(t, options = {}) {
  const pmd = new distflow.PMD({ port: 0, ...options });
  await pmd.start();
  t.after(() => pmd.stop());
  return pmd;
}

/** A free port that nobody is given by chance: below those of outgoing connections. */
export async function freePort() {
  for (;;) {
    const server = createServer().listen(randomInt(20_000, 32_000), 'localhost');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** A node that ends with the test. */
export async function startNode(t, pmd, options = {}) {
  const given = { pmdPort: pmd.port, autoStart: false, startTimeoutMs: 30_000, ...options };
  const node = await distflow.NodeRuntime.create(given);
  t.after(() => node.shutdown());
  return node;
}

/** Collects the first messages of a node: `[payload, meta]` each. */
export function collect(node, count) {
  return new Promise((resolve) => {
    const messages = [];
    const listener = (...message) => {
      messages.push(message);
      if (messages.length < count) return;
      node.off('message', listener);
      resolve(messages);
    };
    node.on('message', listener);
  });
}

/** Resolves when a condition holds; looks at each turn of the loop, up to 20 s. */
export async function until(condition, what = 'the condition') {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come true in time`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * Runs a program (CommonJS unless `module`) in the folder of the installed package. It ends with
 * the test; `ended` gives its exit code, signal and output.
 */
export function program(t, code, { module = false, args = [], env = {}, nodeArgs = [] } = {}) {
  const type = module ? ['--input-type=module'] : [];
  return command(t, process.execPath, [...nodeArgs, ...type, '-e', code, '--', ...args], env);
}

/** Runs any program like {@link program}. */
export function command(t, file, args, env = {}) {
  const child = spawn(file, args, {
    cwd: installed,
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
    child.emit('output');
  });
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, stdout, stderr }));
  /** Resolves with the first line that matches. */
  const line = async (pattern) => {
    for (;;) {
      const found = stdout.split('\n').slice(0, -1).find((text) => pattern.test(text));
      if (found !== undefined) return found;
      await Promise.race([
        once(child, 'output'),
        ended.then(({ code, stderr }) => {
          if (stdout.split('\n').some((text) => pattern.test(text))) return;
          throw new Error(`ended with ${code} before ${pattern}: ${stdout}${stderr}`);
        }),
      ]);
    }
  };
  return { child, ended, line };
}

/** A deferred promise. */
export function defer() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}
