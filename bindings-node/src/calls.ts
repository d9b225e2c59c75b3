import { DistflowError, type NativeFailure, aborted, fromFailure, fromThrown, invalid } from './error.js';

// The addon's wake-ups do not keep Node alive; while something is waited for, this timer does.
let timer: NodeJS.Timeout | undefined;
let holders = 0;

/** @internal Keeps the process alive until {@link letGo} was called as often. */
export function hold(): void {
  holders += 1;
  if (holders > 1) return;
  if (timer) timer.ref();
  else timer = setInterval(() => {}, 0x7fff_ffff);
}

/** @internal */
export function letGo(): void {
  holders -= 1;
  if (holders === 0) timer?.unref();
}

// Nothing here is kept from being collected but for a reason: a call under way, something that
// serves, or a listener whose events come by themselves.
const kept = new Map<object, number>();

/** @internal Keeps an object from being collected until {@link unkeep} was called as often. */
export function keep(object: object): void {
  kept.set(object, (kept.get(object) ?? 0) + 1);
}

/** @internal */
export function unkeep(object: object): void {
  const count = kept.get(object) ?? 0;
  if (count > 1) kept.set(object, count - 1);
  else kept.delete(object);
}

/**
 * @internal A function for the addon to call when something is to be taken. The addon holds it for as
 * long as the native half lives, so it does not hold the object: neither would ever be collected.
 * `take` must not refer to the object either.
 */
export function weakly<T extends object>(object: T, take: (object: T) => void): () => void {
  const reference = new WeakRef(object);
  return () => {
    const referred = reference.deref();
    if (referred) take(referred);
  };
}

/**
 * @internal Keeps something that serves from being collected, and the process alive, unless its
 * owner says otherwise of the latter.
 */
export class Hold {
  readonly #owner: object;
  #isReferenced = true;
  #isServing = false;
  #isHeld = false;

  constructor(owner: object) {
    this.#owner = owner;
  }

  /** Whether it serves. */
  serve(isServing: boolean): void {
    if (isServing !== this.#isServing) (isServing ? keep : unkeep)(this.#owner);
    this.#isServing = isServing;
    this.#update();
  }

  /** Whether that keeps the process alive. */
  reference(isReferenced: boolean): void {
    this.#isReferenced = isReferenced;
    this.#update();
  }

  #update(): void {
    const wanted = this.#isReferenced && this.#isServing;
    if (wanted === this.#isHeld) return;
    this.#isHeld = wanted;
    if (wanted) hold();
    else letGo();
  }
}

/** @internal A result as the addon tells it: the call, its error, its value. */
export type Result = [call: number, error: NativeFailure | null, value: unknown];

/** How long a wait may last. */
export interface WaitOptions {
  /** Ends the wait with an error of code `aborted`. What was begun may still happen. */
  signal?: AbortSignal | undefined;
  /** Ends the wait after that many milliseconds with an error of code `timeout`. Default never. */
  timeoutMs?: number | undefined;
}

/** A result on its way to who waits: an error that is still to be made, or a value. */
type Settled = [error: (() => Error) | undefined, value: unknown];
type Waiting = (settled: Settled) => void;

/**
 * @internal Calls under way, by the number that the addon gives back with their results. Their owner
 * takes those, so it is not collected meanwhile.
 */
export class Calls {
  readonly #owner: object;
  #waiting = new Map<number, Waiting>();
  #last = 0;

  constructor(owner: object) {
    this.#owner = owner;
  }

  /** A number for the next call. */
  next(): number {
    do this.#last = (this.#last + 1) >>> 0;
    while (this.#waiting.has(this.#last));
    return this.#last;
  }

  /** Waits for the result of a call. The process stays alive meanwhile. */
  async wait<T>(call: number): Promise<T> {
    hold();
    keep(this.#owner);
    const [error, value] = await new Promise<Settled>((resolve) => {
      this.#waiting.set(call, resolve);
    });
    // Made here, its stack leads to the `await` of whoever waits; where the result came from, it
    // would lead nowhere.
    if (error) throw error();
    return value as T;
  }

  /** Begins a call and waits for its result. What beginning throws is its error. */
  ask<T>(begin: (call: number) => void): Promise<T> {
    const call = this.next();
    const asked = this.wait<T>(call);
    try {
      begin(call);
    } catch (error) {
      const waiting = this.#waiting.get(call);
      this.#waiting.delete(call);
      this.#ended();
      waiting?.([() => (error instanceof DistflowError ? error : fromThrown(error)), undefined]);
    }
    return asked;
  }

  settle(results: readonly Result[]): void {
    for (const [call, error, value] of results) {
      const waiting = this.#waiting.get(call);
      if (!waiting) continue;
      this.#waiting.delete(call);
      this.#ended();
      if (error) waiting([() => fromFailure(error), undefined]);
      else waiting([undefined, value ?? undefined]);
    }
  }

  /** Ends everything that still waits. */
  failAll(error: () => Error): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const one of waiting) {
      this.#ended();
      one([error, undefined]);
    }
  }

  #ended(): void {
    letGo();
    unkeep(this.#owner);
  }
}

const TIMEOUT_MS_MAX = 0x7fff_ffff;

/**
 * @internal Options of a wait, checked: without a limit that no timer holds. Errors:
 * `invalid_argument`, and `aborted` when it is over before it begins.
 */
export function waitOptions(given: WaitOptions | null | undefined): WaitOptions {
  if (given === undefined || given === null) return {};
  if (typeof given !== 'object') throw invalid('the options must be an object');
  const { signal, timeoutMs } = given;
  if (signal !== undefined && signal !== null && !isSignal(signal)) {
    throw invalid('signal must be an AbortSignal');
  }
  if (signal?.aborted) throw aborted(signal);
  if (timeoutMs === undefined || timeoutMs === null) return { signal };
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0)) {
    throw invalid('timeoutMs must be a number of at least 0');
  }
  return timeoutMs > TIMEOUT_MS_MAX ? { signal } : { signal, timeoutMs };
}

function isSignal(value: Partial<AbortSignal>): value is AbortSignal {
  return (
    typeof value === 'object' &&
    typeof value.aborted === 'boolean' &&
    typeof value.addEventListener === 'function'
  );
}

/** @internal Waits no longer than a caller wants to. `gaveUp` hears of a wait that ended early. */
export function bounded<T>(
  promise: Promise<T>,
  { signal, timeoutMs }: WaitOptions,
  what: string,
  gaveUp?: () => void,
): Promise<T> {
  if (!signal && timeoutMs === undefined) return promise;
  const caller: { stack?: string } = {};
  Error.captureStackTrace(caller, bounded);
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const giveUp = (error: DistflowError) => {
      end();
      reject(tracedTo(caller, error));
      gaveUp?.();
    };
    const abort = () => giveUp(aborted(signal as AbortSignal));
    // Both handlers, so that a failure after the end is not an unhandled one.
    promise.then(
      (value) => (end(), resolve(value)),
      (error: unknown) => (end(), reject(tracedTo(caller, error))),
    );
    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    if (timeoutMs !== undefined) {
      const late = () => giveUp(new DistflowError('timeout', `${what} did not end in time`));
      timer = setTimeout(late, timeoutMs);
    }
  });
}

/** @internal Gives an error that ends a promise the stack of who called a function. */
export async function traced<T>(promise: Promise<T>, called: Function): Promise<T> {
  const caller: { stack?: string } = {};
  Error.captureStackTrace(caller, called);
  try {
    return await promise;
  } catch (error) {
    throw tracedTo(caller, error);
  }
}

/** An error with the stack of who called, instead of that of a timer or of what came from the addon. */
function tracedTo(caller: { stack?: string }, error: unknown): unknown {
  if (!(error instanceof DistflowError)) return error;
  const frames = caller.stack?.match(/\n\s+at .*/s)?.[0];
  if (frames) error.stack = `${error.name}: ${error.message}${frames}`;
  return error;
}

/** @internal Throws an error so that it becomes an `uncaughtException` and stops nothing here. */
export function rethrow(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** @internal Makes an exception of a callback an `uncaughtException`. */
export function attempt(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    rethrow(error);
  }
}
