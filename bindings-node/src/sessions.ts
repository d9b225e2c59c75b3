import { Calls, Hold, type Result, keep, unkeep, weakly } from './calls.js';
import { TypedEmitter } from './emitter.js';
import { DistflowError, fromThrown, invalid } from './error.js';
import { INSPECT, inspected } from './inspect.js';
import { type NativeSession, type NativeSessionList, native } from './native.js';
import { checkObject } from './options.js';
import type {
  BrokerOptions,
  CreateOptions,
  Completeness,
  Listing,
  Row,
  SessionEvents,
  SessionState,
  SessionView,
} from './session-types.js';

export type * from './session-types.js';

interface Taken {
  e?: Record<string, unknown>[];
  r?: Result[];
  more: boolean;
}

const COUNTDOWN_S_MAX = 86_400;

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Members by the names that JavaScript has for them; what they hold stays. */
function renamed(row: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [camel(name), value]));
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw invalid(`${what} must be a string`);
  return value;
}

function checked<T extends object>(options: T): T {
  checkObject(options);
  return options;
}

/** Options as JSON, in which numbers that are none would be missing. */
function optionsText(options: object): string {
  for (const [name, value] of Object.entries(options)) {
    if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))) {
      throw invalid(`${name} must be a number, not ${value}`);
    }
  }
  return JSON.stringify(options);
}

/**
 * Game sessions on one broker of MQTT. Nothing is connected before a session or the list is asked for.
 *
 * The URL is `mqtt://host[:port]`, or with `mqtts`, `ws` or `wss`; with user and password as
 * `mqtt://user:password@host`.
 */
export class SessionManager {
  readonly #broker: string;

  constructor(url = 'mqtt://localhost', options: BrokerOptions = {}) {
    const broker = optionsText({ ...checked(options), url: text(url, 'url') });
    try {
      native().checkBroker(broker);
    } catch (error) {
      throw fromThrown(error);
    }
    this.#broker = broker;
  }

  /**
   * Creates a session; when this resolves, its document was read back from the broker. Errors:
   * `invalid_argument`; `refused` by the broker, or when somebody else has a session of this id;
   * `timeout` when the broker is not reached.
   */
  async create(options: CreateOptions = {}): Promise<Session> {
    const { sessionId, instance, ...rest } = checked(options);
    if (sessionId !== undefined) text(sessionId, 'sessionId');
    if (instance !== undefined) text(instance, 'instance');
    return Session.open('create', this.#broker, sessionId, instance, optionsText(rest));
  }

  /**
   * Joins a session; when this resolves, the creator's document names this instance. Errors:
   * `invalid_argument`; `refused` by the broker, or by the session, with the reason; `timeout`.
   */
  async join(sessionId: string, instance?: string): Promise<Session> {
    if (instance !== undefined) text(instance, 'instance');
    return Session.open('join', this.#broker, text(sessionId, 'sessionId'), instance, '{}');
  }

  /** Looks at a session without being in it. Errors: as {@link SessionManager.join}. */
  async observe(sessionId: string): Promise<Session> {
    return Session.open('observe', this.#broker, text(sessionId, 'sessionId'), undefined, '{}');
  }

  /** The list of sessions, which keeps itself up to date. Errors: `refused`, `timeout`. */
  list(): Promise<SessionList> {
    return SessionList.open(this.#broker);
  }
}

/**
 * A session that this program has created, joined or looks at. Events are those of
 * {@link SessionEvents}. It keeps Node alive until it is left or over; {@link Session.unref} says
 * otherwise.
 */
export class Session extends TypedEmitter<SessionEvents> {
  readonly #calls = new Calls(this);
  #native!: NativeSession;
  #id = '';
  #instance = '';
  readonly #hold = new Hold(this);
  #leaving: Promise<void> | undefined;
  #last: SessionView | undefined;

  private constructor() {
    super();
  }

  /** @internal */
  static async open(
    how: string,
    broker: string,
    id: string | undefined,
    instance: string | undefined,
    options: string,
  ): Promise<Session> {
    const session = new Session();
    const wake = weakly(session, Session.#take);
    const addon = native();
    const opened = session.#calls.ask<[string, string]>((call) => {
      session.#native = new addon.NativeSession(how, broker, id, instance, options, call, wake);
    });
    [session.#id, session.#instance] = await opened;
    // It may be over already.
    session.#hold.serve(session.view.ending === null);
    return session;
  }

  /** The session's id. */
  get id(): string {
    return this.#id;
  }

  /** This instance's id in it. */
  get instance(): string {
    return this.#instance;
  }

  /** The session as it is known here, at one moment. */
  get view(): SessionView {
    if (this.#last) return this.#last;
    return renamed(JSON.parse(this.#native.view())) as unknown as SessionView;
  }

  /** Who is in it: the creator first, then in the order in which they joined. */
  get members(): string[] {
    return this.view.members;
  }

  /** Where it is in its life. */
  get state(): SessionState | null {
    return this.view.state;
  }

  /** The seed of the session's random numbers, 1 to 1,000,000. */
  get seed(): number | null {
    return this.view.seed;
  }

  /**
   * Starts the game, at once or after a countdown of so many seconds. Error: `refused` for another than
   * the creator, or when members are missing; `connection_failed` without a connection to the broker.
   */
  async start(countdownS = 0): Promise<void> {
    if (!Number.isInteger(countdownS) || countdownS < 0 || countdownS > COUNTDOWN_S_MAX) {
      throw invalid(`countdownS must be a whole number from 0 to ${COUNTDOWN_S_MAX}`);
    }
    return this.#ask((call) => this.#native.start(countdownS, call));
  }

  /** Ends the session for everybody. Error: `refused` for another than the creator. */
  close(): Promise<void> {
    return this.#ask((call) => this.#native.close(call));
  }

  /** Asks a member, the named one or the one that joined first, to continue the session. */
  async handOver(to?: string): Promise<void> {
    if (to !== undefined) text(to, 'to');
    return this.#ask((call) => this.#native.handOver(to, call));
  }

  /** Asks for a player; `reserved` tells whose it is. Errors: `invalid_argument`, `refused`. */
  async reserve(player: string): Promise<void> {
    text(player, 'player');
    return this.#ask((call) => this.#native.reserve(player, call));
  }

  /** Gives a player back. */
  async release(player: string): Promise<void> {
    text(player, 'player');
    return this.#ask((call) => this.#native.release(player, call));
  }

  /** Says that this instance plays a player. Errors: `invalid_argument`, `refused`. */
  async register(player: string): Promise<void> {
    text(player, 'player');
    return this.#ask((call) => this.#native.register(player, call));
  }

  /**
   * Sends a message of the game, text or bytes, on `{id}/game_{name}`, at most 64 KiB. Without a
   * connection up to 1,000 messages wait for one. Errors: `invalid_argument`, `too_large`, `busy`.
   */
  async publish(name: string, payload: string | Uint8Array): Promise<void> {
    text(name, 'name');
    if (typeof payload !== 'string' && !(payload instanceof Uint8Array)) {
      throw invalid('payload must be a string or a Uint8Array');
    }
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    return this.#ask((call) => this.#native.publish(name, bytes, call));
  }

  /**
   * Leaves the session; resolves when the broker knows. A creator hands it over, if it was created so
   * and somebody else is there, or closes it; its topics are emptied 5 s later, by this program if it
   * still runs, or by members. Safe to call twice.
   */
  leave(): Promise<void> {
    return (this.#leaving ??= this.#leave());
  }

  async #leave(): Promise<void> {
    await this.#ask((call) => this.#native.leave(call));
    // What it told last comes before the end.
    Session.#take(this);
    this.#last = this.view;
    this.#native.abandon();
    this.#over();
  }

  #over(): void {
    this.#hold.serve(false);
  }

  async #ask(ask: (call: number) => void): Promise<void> {
    if (this.#last) throw new DistflowError('closed', 'the session was left');
    await this.#calls.ask(ask);
  }

  static #take(session: Session): void {
    if (session.#last) return;
    const taken = JSON.parse(session.#native.take()) as Taken;
    for (const row of taken.e ?? []) {
      const { type, payloadBase64, ...rest } = renamed(row);
      const name = camel(type as string);
      if (name === 'game') {
        rest['bytes'] =
          payloadBase64 === undefined
            ? Buffer.from(rest['payload'] as string)
            : Buffer.from(payloadBase64 as string, 'base64');
      }
      if (name === 'ended') session.#over();
      session.tell(name, [rest]);
    }
    session.#calls.settle(taken.r ?? []);
  }

  /** Keeps Node alive until it is over, as it does from the beginning. */
  ref(): this {
    this.#hold.reference(true);
    return this;
  }

  /** Lets Node end although it is not over. */
  unref(): this {
    this.#hold.reference(false);
    return this;
  }

  /** @internal What `console.log` shows. */
  [INSPECT](...args: unknown[]): string {
    const { id, instance } = this;
    return inspected(this, { id, instance, state: this.state, members: this.members }, args);
  }

  /** Leaves at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.leave();
  }
}

/** Events of a {@link SessionList} and their arguments. */
export interface SessionListEvents {
  /** Something in the list, or the connection, is different. */
  changed: [];
}

/**
 * The sessions on a broker, as they change: event `changed`. It does not keep Node alive. One that
 * nobody has, and nobody listens to, is collected and ends.
 */
export class SessionList extends TypedEmitter<SessionListEvents> {
  readonly #calls = new Calls(this);
  #native!: NativeSessionList;
  #isOpen = false;
  #isKept = false;

  private constructor() {
    super();
  }

  /** @internal */
  static async open(broker: string): Promise<SessionList> {
    const list = new SessionList();
    const wake = weakly(list, SessionList.#take);
    await list.#calls.ask((call) => {
      list.#native = new (native().NativeSessionList)(broker, call, wake);
    });
    list.#isOpen = true;
    list.listenersChanged();
    return list;
  }

  #read(own?: string): [Record<string, unknown>[], Record<string, unknown>[]] {
    try {
      return JSON.parse(this.#native.sessions(own));
    } catch (error) {
      throw fromThrown(error);
    }
  }

  /** Those that are alive, the newest first. Error: `closed`. */
  get sessions(): Listing[] {
    return this.#read()[0].map(renamed) as unknown as Listing[];
  }

  /**
   * What a user interface draws: those that can be joined or are full, and the one of the id `own`, which
   * has the check mark. Without any, show `No sessions available`. Error: `closed`.
   */
  rows(own?: string): Row[] {
    if (own !== undefined) text(own, 'own');
    return this.#read(own)[1].map(renamed) as unknown as Row[];
  }

  /** How much of what is on the broker the list has. Error: `closed`. */
  get completeness(): Completeness {
    try {
      return this.#native.completeness() as Completeness;
    } catch (error) {
      throw fromThrown(error);
    }
  }

  /** Whether there is a connection; without, the list may be old. */
  get isConnected(): boolean {
    return this.#native.isConnected();
  }

  static #take(list: SessionList): void {
    const taken = JSON.parse(list.#native.take()) as Taken;
    list.#calls.settle(taken.r ?? []);
    if (list.#isOpen) list.tell('changed', []);
  }

  /** @internal Whoever listens has the list, even if nothing else refers to it. */
  protected override listenersChanged(): void {
    const isKept = this.#isOpen && this.listenerCount('changed') > 0;
    if (isKept !== this.#isKept) (isKept ? keep : unkeep)(this);
    this.#isKept = isKept;
  }

  /** Ends the connection. Safe to call twice. */
  close(): void {
    this.#isOpen = false;
    this.listenersChanged();
    this.#native.close();
  }

  /** @internal What `console.log` shows. */
  [INSPECT](...args: unknown[]): string {
    if (!this.#isOpen) return inspected(this, { state: 'closed' }, args);
    const sessions = this.sessions.map(({ sessionId }) => sessionId);
    return inspected(this, { isConnected: this.isConnected, sessions }, args);
  }

  /** Closes at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}
