import type { WaitOptions } from './calls.js';
import { invalid } from './error.js';
import type { Logger } from './logger.js';
import { launcher } from './launcher.js';
import type { MailboxConfig } from './types.js';

/** Options of a node. All have defaults. */
export interface NodeRuntimeOptions extends Pick<WaitOptions, 'signal'> {
  /** The name others find it by, 1 to 255 bytes. Default none. */
  alias?: string | undefined;
  /** A fixed id. Default: 16 random hex digits, new with each start. */
  nodeId?: string | undefined;
  /** Port of the PMD. Default 4369. */
  pmdPort?: number | undefined;
  /** Host of the PMD. Default `localhost`. */
  pmdHost?: string | undefined;
  /** Launch a PMD when none answers and `pmdHost` is this machine. Default true. */
  autoStart?: boolean | undefined;
  /** Bounds of the mailbox. Default 1000 messages, 16 MiB, `drop-newest`. */
  mailbox?: MailboxConfig | undefined;
  /**
   * Messages that may be handled at once: those whose handlers have returned promises that have not
   * settled. Further ones wait in the mailbox. Default `mailbox.maxSize`. With 1, a handler is done
   * with a message before the next begins; it must not wait for another message then.
   */
  concurrency?: number | undefined;
  /** Metadata that `discover` and `peers` show to others, at most 4096 bytes of JSON. */
  meta?: Record<string, unknown> | undefined;
  /** Send heartbeats, so that a frozen process is noticed. Default false. */
  useHeartbeat?: boolean | undefined;
  /** Milliseconds between heartbeats, 50 to 5000. Default 1000. */
  heartbeatIntervalMs?: number | undefined;
  /** Host to listen on for messages. Default `localhost`. Others need `insecure`. */
  listenHost?: string | undefined;
  /** Port to listen on for messages. Default 0, a free one. */
  listenPort?: number | undefined;
  /** Allow a `listenHost` beyond loopback although there is no authentication. Default false. */
  insecure?: boolean | undefined;
  /** Host that peers are told to dial. Default: `localhost`, or the address towards the PMD. */
  advertisedHost?: string | undefined;
  /** Milliseconds without any node after which a launched PMD ends. Default 30000. */
  pmdAutoShutdownMs?: number | undefined;
  /** Serve as the PMD from this process when there is none and none can be launched. */
  embedPmd?: boolean | undefined;
  /** Milliseconds for the whole start. Default 5000. */
  startTimeoutMs?: number | undefined;
  /** Milliseconds for one request to the PMD. Default 5000. */
  requestTimeoutMs?: number | undefined;
  /** Largest message sent or accepted, in bytes of its frame. Default 16 MiB. */
  maxFrameBytes?: number | undefined;
  /** Bytes that may wait to be written to one peer. Default 4 MiB. */
  maxQueueBytes?: number | undefined;
  /**
   * Gets what the native library logs while the node runs, with `component` in its context. Its
   * level at the start decides what is collected. Default none.
   */
  logger?: Logger | undefined;
}

type Types = { string: string; boolean: boolean; number: number };

/** Checks the type of a member; undefined and null are "not given". */
function member<K extends keyof Types>(
  options: object,
  name: string,
  type: K,
): Types[K] | undefined {
  const value = (options as Record<string, unknown>)[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== type) throw invalid(`${name} must be a ${type}`);
  return value as Types[K];
}

function count(options: object, name: string, max = Number.MAX_SAFE_INTEGER): number | undefined {
  const value = member(options, name, 'number');
  if (value === undefined) return undefined;
  if (value === Infinity && max === Number.MAX_SAFE_INTEGER) return max;
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw invalid(`${name} must be a whole number from 0 to ${max}`);
  }
  return value;
}

const PORT_MAX = 65_535;

/** @internal Error: `invalid_argument`. */
export function checkObject(options: unknown, what = 'the options'): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalid(`${what} must be an object`);
  }
}

/**
 * @internal Whether every option is one that exists; those that are undefined do not count. Error:
 * `invalid_argument`.
 */
export function checkKnown(options: object, names: readonly string[], of = ''): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || names.includes(name)) continue;
    throw invalid(`there is no option ${of}${name}; there are ${names.join(', ')}`);
  }
}

// Checked by the compiler to be all of them.
const NODE_OPTIONS = Object.keys({
  alias: 0, nodeId: 0, pmdPort: 0, pmdHost: 0, autoStart: 0, mailbox: 0, concurrency: 0, meta: 0,
  useHeartbeat: 0, heartbeatIntervalMs: 0, listenHost: 0, listenPort: 0, insecure: 0,
  advertisedHost: 0, pmdAutoShutdownMs: 0, embedPmd: 0, startTimeoutMs: 0, requestTimeoutMs: 0,
  maxFrameBytes: 0, maxQueueBytes: 0, logger: 0, signal: 0,
} satisfies Record<keyof NodeRuntimeOptions, 0>);
const MAILBOX_OPTIONS = Object.keys({
  maxSize: 0, maxBytes: 0, overflow: 0,
} satisfies Record<keyof MailboxConfig, 0>);
const PMD_OPTIONS = Object.keys({
  port: 0, host: 0, insecure: 0, autoShutdownDelay: 0, ttl: 0, cleanupInterval: 0,
} satisfies Record<keyof PMDOptions, 0>);

const MAX_SIZE_DEFAULT = 1000;

/**
 * @internal How many messages of a node may be handled at once. As many as may wait is a bound that
 * its user has chosen, and leaves room for handlers that wait for messages that come later: with
 * fewer, they would wait for ever.
 */
export function concurrency(given: NodeRuntimeOptions): number {
  const number = count(given, 'concurrency');
  if (number === 0) throw invalid('concurrency must be a whole number from 1');
  return number ?? Math.max(given.mailbox?.maxSize ?? MAX_SIZE_DEFAULT, 1);
}

/** @internal Options of a node as the addon wants them. Error: `invalid_argument`. */
export function nodeOptions(given: NodeRuntimeOptions, exclusive: boolean): string {
  checkObject(given);
  checkKnown(given, NODE_OPTIONS);
  const mailbox: MailboxConfig = given.mailbox ?? {};
  checkObject(mailbox, 'mailbox');
  checkKnown(mailbox, MAILBOX_OPTIONS, 'mailbox.');
  const { meta } = given;
  if (meta !== undefined && (typeof meta !== 'object' || meta === null || Array.isArray(meta))) {
    throw invalid('meta must be an object');
  }
  try {
    JSON.stringify(meta);
  } catch (error) {
    throw invalid(`meta can't be written as JSON: ${(error as Error).message.split('\n')[0]}`);
  }
  const { logger } = given;
  if (logger !== undefined && logger !== null && typeof logger.getLevel !== 'function') {
    throw invalid('logger must be a Logger of this package; see createTransport for others');
  }
  return JSON.stringify({
    alias: member(given, 'alias', 'string'),
    nodeId: member(given, 'nodeId', 'string'),
    pmdHost: member(given, 'pmdHost', 'string'),
    pmdPort: count(given, 'pmdPort', PORT_MAX),
    autoStart: member(given, 'autoStart', 'boolean'),
    embedPmd: member(given, 'embedPmd', 'boolean'),
    launcher: launcher(),
    pmdAutoShutdownMs: count(given, 'pmdAutoShutdownMs'),
    listenHost: member(given, 'listenHost', 'string'),
    listenPort: count(given, 'listenPort', PORT_MAX),
    insecure: member(given, 'insecure', 'boolean'),
    advertisedHost: member(given, 'advertisedHost', 'string'),
    meta,
    maxSize: count(mailbox, 'maxSize'),
    maxBytes: count(mailbox, 'maxBytes'),
    overflow: member(mailbox, 'overflow', 'string'),
    useHeartbeat: member(given, 'useHeartbeat', 'boolean'),
    heartbeatIntervalMs: count(given, 'heartbeatIntervalMs'),
    exclusive,
    startTimeoutMs: count(given, 'startTimeoutMs'),
    requestTimeoutMs: count(given, 'requestTimeoutMs'),
    maxFrameBytes: count(given, 'maxFrameBytes'),
    maxQueueBytes: count(given, 'maxQueueBytes'),
  });
}

/** Options of an embedded PMD. All have defaults. */
export interface PMDOptions {
  /** Port to listen on; 0 picks a free one. Default 4369. */
  port?: number | undefined;
  /** Host to listen on. Default `localhost`. Others need `insecure`. */
  host?: string | undefined;
  /** Allow a host beyond loopback although there is no authentication. Default false. */
  insecure?: boolean | undefined;
  /** Milliseconds without any node after which it stops. Default 0, never. */
  autoShutdownDelay?: number | undefined;
  /** Of the original package; has no effect, because closed connections tell who left. */
  ttl?: number | undefined;
  /** Of the original package; has no effect. */
  cleanupInterval?: number | undefined;
}

/** @internal Options of a PMD as the addon wants them. Error: `invalid_argument`. */
export function pmdOptions(given: PMDOptions): string {
  checkObject(given);
  checkKnown(given, PMD_OPTIONS);
  return JSON.stringify({
    host: member(given, 'host', 'string'),
    port: count(given, 'port', PORT_MAX),
    insecure: member(given, 'insecure', 'boolean'),
    autoShutdownMs: count(given, 'autoShutdownDelay'),
  });
}
