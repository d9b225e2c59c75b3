/** How important an entry is; a logger writes those of its level and above. */
export enum LogLevel {
  DEBUG = 0,
  INFO = 1,
  WARN = 2,
  ERROR = 3,
  /** Nothing is written. */
  SILENT = 4,
}

/**
 * What a transport gets. Members of a call's `meta` follow at the top level and replace earlier
 * ones of the same name; an `Error` brings `error` (its text), `stack` and `name` (its class).
 */
export interface LogEntry {
  /** ISO 8601, UTC, with milliseconds. */
  timestamp: string;
  /** Name of the level. */
  level: string;
  /** The text. */
  message: string;
  /** The logger's name; absent without one. */
  name?: string;
  /** The logger's context; absent when empty. */
  context?: Record<string, any>;
  [member: string]: any;
}

/** Where entries go. */
export interface LogTransport {
  /** Writes one entry; called synchronously. */
  write(entry: LogEntry): void;
}

/** Options of a logger. */
export interface LoggerOptions {
  /** Default: the environment variable `LOG_LEVEL` (a name, any case), else `INFO`. */
  level?: LogLevel | undefined;
  /** A name that each entry carries. Default none. */
  name?: string | undefined;
  /** Members that each entry carries in `context`. Default none. */
  context?: Record<string, any> | undefined;
  /** Default: standard output. */
  transport?: LogTransport | undefined;
  /**
   * Without a transport: lines for people (true) or one JSON object a line (false). Default true;
   * for the process-wide logger false if `NODE_ENV` is `production`.
   */
  prettyPrint?: boolean | undefined;
}

/**
 * Makes a transport of a function.
 *
 * ```js
 * const pino = require('pino')();
 * configureLogger({ transport: createTransport((entry) => {
 *   const { level, message, timestamp, ...rest } = entry;
 *   pino[level.toLowerCase()](rest, message);
 * }) });
 * // winston: winstonLogger.log({ ...rest, level: level.toLowerCase(), message })
 * ```
 */
export function createTransport(write: (entry: LogEntry) => void): LogTransport {
  return { write };
}

const COLORS: Record<string, string> = {
  DEBUG: '\x1b[36m',
  INFO: '\x1b[32m',
  WARN: '\x1b[33m',
  ERROR: '\x1b[31m',
};
const RESET = '\x1b[0m';
const DIM = '\x1b[2m';

/** JSON of anything: a log line must not fail for what is in it. */
function json(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    const above: unknown[] = [];
    return JSON.stringify(value, function (this: unknown, _key, member: unknown) {
      if (typeof member === 'bigint') return member.toString();
      if (typeof member !== 'object' || member === null) return member;
      while (above.length > 0 && above.at(-1) !== this) above.pop();
      if (above.includes(member)) return '[Circular]';
      above.push(member);
      return member;
    });
  }
}

const jsonTransport = createTransport((entry) => console.log('%s', json(entry)));

const prettyTransport = createTransport((entry) => {
  const { timestamp, level, message, name, context, ...extra } = entry;
  const dim = (text: string) => `${DIM}${text}${RESET}`;
  const color = COLORS[level] ?? '';
  const head = `${dim(timestamp)} ${color}${String(level).padEnd(5)}${RESET}`;
  const tag = name ? dim(`[${name}]`) : '';
  const contextText = context ? dim(` ${json(context)}`) : '';
  const extraText = Object.keys(extra).length > 0 ? dim(` ${json(extra)}`) : '';
  console.log('%s', `${head} ${tag} ${message}${contextText}${extraText}`);
});

function levelOfEnvironment(): LogLevel {
  const name = process.env['LOG_LEVEL']?.toUpperCase() ?? '';
  const level = (LogLevel as unknown as Record<string, unknown>)[name];
  return typeof level === 'number' ? level : LogLevel.INFO;
}

/** What a logger was given; a child leaves the rest to its parent, whenever it writes. */
interface Settings {
  level?: LogLevel | undefined;
  name?: string | undefined;
  transport?: LogTransport | undefined;
  context: Record<string, any>;
}

function settingsOf(options: LoggerOptions): Settings {
  const pretty = options.prettyPrint ?? true;
  return {
    level: options.level,
    name: options.name,
    transport: options.transport ?? (pretty ? prettyTransport : jsonTransport),
    context: { ...options.context },
  };
}

const PARENT = Symbol('parent');
type WithParent = LoggerOptions & { [PARENT]?: Logger };

/**
 * Writes structured entries.
 *
 * A child has its parent's level, transport, name and context at the time it writes, so loggers
 * made when a module was loaded follow a later {@link configureLogger}.
 */
export class Logger {
  #settings: Settings;
  readonly #parent: Logger | undefined;

  constructor(options: LoggerOptions = {}) {
    this.#parent = (options as WithParent)[PARENT];
    this.#settings = this.#parent ? { context: { ...options.context } } : settingsOf(options);
  }

  /** A logger whose context is this one's and the given members. */
  child(context: Record<string, any>): Logger {
    const options: WithParent = { context, [PARENT]: this };
    return new Logger(options);
  }

  /** Sets the level of this logger and of its children that have none of their own. */
  setLevel(level: LogLevel): void {
    this.#settings.level = level;
  }

  /** The level in force. */
  getLevel(): LogLevel {
    return this.#settings.level ?? this.#parent?.getLevel() ?? levelOfEnvironment();
  }

  /** Adds members to the context. */
  addContext(context: Record<string, any>): void {
    Object.assign(this.#settings.context, context);
  }

  /** Writes an entry of level DEBUG. */
  debug(message: string, meta?: Record<string, any>): void {
    this.#write(LogLevel.DEBUG, message, meta);
  }

  /** Writes an entry of level INFO. */
  info(message: string, meta?: Record<string, any>): void {
    this.#write(LogLevel.INFO, message, meta);
  }

  /** Writes an entry of level WARN. */
  warn(message: string, meta?: Record<string, any>): void {
    this.#write(LogLevel.WARN, message, meta);
  }

  /** Writes an entry of level ERROR, with an error's text, stack and class, or with members. */
  error(message: string, error?: Error | Record<string, any>): void {
    const meta =
      error instanceof Error
        ? { error: error.message, stack: error.stack, name: error.name }
        : error;
    this.#write(LogLevel.ERROR, message, meta);
  }

  /** @internal Takes over new settings, so that whoever has this logger follows them. */
  reconfigure(options: LoggerOptions): void {
    this.#settings = settingsOf(options);
  }

  get #name(): string | undefined {
    return this.#settings.name ?? (this.#parent ? this.#parent.#name : undefined);
  }

  get #transport(): LogTransport {
    const inherited = this.#parent ? this.#parent.#transport : prettyTransport;
    return this.#settings.transport ?? inherited;
  }

  get #context(): Record<string, any> {
    const inherited = this.#parent ? this.#parent.#context : undefined;
    return { ...inherited, ...this.#settings.context };
  }

  #write(level: LogLevel, message: string, meta?: Record<string, any>): void {
    const least = this.getLevel();
    if (level < least || least >= LogLevel.SILENT) return;
    const entry: LogEntry = {
      timestamp: new Date().toISOString(),
      level: LogLevel[level],
      message,
    };
    const name = this.#name;
    if (name) entry.name = name;
    const context = this.#context;
    if (Object.keys(context).length > 0) entry.context = context;
    this.#transport.write(Object.assign(entry, meta));
  }
}

// One a process, also when the package is loaded more than once.
const GLOBAL = Symbol.for('@distflow/native:logger');
const shared = globalThis as { [GLOBAL]?: Logger };

function processWide(): Logger {
  return (shared[GLOBAL] ??= new Logger({
    prettyPrint: process.env['NODE_ENV'] !== 'production',
  }));
}

/**
 * Sets up the process-wide logger and returns it. Loggers that {@link getLogger} gave before
 * follow.
 */
export function configureLogger(options: LoggerOptions = {}): Logger {
  const logger = processWide();
  logger.reconfigure(options);
  return logger;
}

/** The process-wide logger; with a name, a child of it whose context has `component: name`. */
export function getLogger(name?: string): Logger {
  const logger = processWide();
  return name ? logger.child({ component: name }) : logger;
}
