// Chromium, driven over its debugging pipe: no dependencies.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const LIMIT_MS = 60_000;
const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

function find() {
  return NAMES.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

/** The browser's command; installs it where that is possible. Throws what to install. */
export function browser() {
  const found = find();
  if (found) return found;
  if (process.getuid?.() === 0) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const apt = (...args) => spawnSync('apt-get', args, { stdio: 'ignore', env });
    apt('update', '-qq');
    apt('install', '-qq', '-y', '--no-install-recommends', 'chromium');
  }
  const installed = find();
  if (!installed) throw new Error('chromium is missing: apt-get install chromium');
  return installed;
}

/** Removes a folder into which helpers of a browser that was killed may still write for a moment. */
async function remove(folder) {
  for (const deadline = Date.now() + 20_000; ; ) {
    try {
      return rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (error.code !== 'ENOTEMPTY' || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** One page of a headless browser, which ends with the test. */
export class Page {
  #child;
  #session;
  #last = 0;
  #waiting = new Map();

  static async open(t, url) {
    const folder = mkdtempSync(join(tmpdir(), 'distflow-browser-'));
    const page = new Page(folder);
    t.after(async () => {
      page.#child.kill('SIGKILL');
      await page.ended;
      await remove(folder);
    });
    const { targetId } = await page.#ask('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await page.#ask('Target.attachToTarget', { targetId, flatten: true });
    page.#session = sessionId;
    // Ends when the new document has taken the place of the old one.
    await page.#ask('Page.navigate', { url });
    return page;
  }

  constructor(folder) {
    const flags = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-dev-shm-usage',
      `--user-data-dir=${folder}`,
      '--remote-debugging-pipe',
    ];
    this.#child = spawn(browser(), flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    this.ended = once(this.#child, 'exit');
    const [, , , , output] = this.#child.stdio;
    this.#child.stdio[3].on('error', () => {});
    let text = '';
    output.setEncoding('utf8').on('data', (more) => {
      const messages = (text + more).split('\0');
      text = messages.pop();
      for (const message of messages) {
        const { id, result, error } = JSON.parse(message);
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error) waiting?.reject(new Error(error.message));
        else waiting?.resolve(result);
      }
    });
  }

  #ask(method, params) {
    const id = ++this.#last;
    const message = { id, method, params, sessionId: this.#session };
    this.#child.stdio[3].write(`${JSON.stringify(message)}\0`);
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`the browser does not answer ${method}`));
      const timer = setTimeout(late, LIMIT_MS);
      const settle = (how) => (value) => {
        clearTimeout(timer);
        how(value);
      };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  /** The value of an expression in the page, awaited if it is a promise. */
  async value(expression) {
    const { result, exceptionDetails } = await this.#ask('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? 'it threw');
    return result.value;
  }

  /** Waits until a change of the document makes an expression true. */
  async until(expression) {
    const found = await this.value(`new Promise((resolve) => {
      const look = () => {
        if (!(${expression})) return;
        observer.disconnect();
        resolve(true);
      };
      const observer = new MutationObserver(look);
      const options = { subtree: true, childList: true, characterData: true };
      observer.observe(document, options);
      setTimeout(() => resolve(false), ${LIMIT_MS / 2});
      look();
    })`);
    if (!found) {
      const text = await this.value('document.body.innerText');
      throw new Error(`not seen: ${expression}; the page is\n${text}`);
    }
  }
}
