import { DistflowError, type NativeFailure, aborted, fromFailure, invalid } from './error.js';

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

/** @internal Keeps the process alive while something serves, unless its owner says otherwise. */
export class Hold {
  #isReferenced = true;
  #isServing = false;
  #isHeld = false;

  /** Whether it serves. */
  serve(isServing: boolean): void {
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

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** @internal Calls under way, by the number that the addon gives back with their results. */
export class Calls {
  #waiting = new Map<number, Waiting>();
  #last = 0;

  /** A number for the next call. */
  next(): number {
    do this.#last = (this.#last + 1) >>> 0;
    while (this.#waiting.has(this.#last));
    return this.#last;
  }

  /** Waits for the result of a call. The process stays alive meanwhile. */
  wait<T>(call: number): Promise<T> {
    hold();
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(call, { resolve: resolve as (value: unknown) => void, reject });
    });
  }

  settle(results: readonly Result[]): void {
    for (const [call, error, value] of results) {
      const waiting = this.#waiting.get(call);
      if (!waiting) continue;
      this.#waiting.delete(call);
      letGo();
      if (error) waiting.reject(fromFailure(error));
      else waiting.resolve(value);
    }
  }

  /** Ends everything that still waits. */
  failAll(error: () => Error): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const one of waiting) {
      letGo();
      one.reject(error());
    }
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
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const giveUp = (error: DistflowError) => {
      end();
      reject(error);
      gaveUp?.();
    };
    const abort = () => giveUp(aborted(signal as AbortSignal));
    // Both handlers, so that a failure after the end is not an unhandled one.
    promise.then(
      (value) => (end(), resolve(value)),
      (error: unknown) => (end(), reject(error)),
    );
    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    if (timeoutMs !== undefined) {
      const late = () => giveUp(new DistflowError('timeout', `${what} did not end in time`));
      timer = setTimeout(late, timeoutMs);
    }
  });
}

/** @internal Throws an error so that it becomes an `uncaughtException` and stops nothing here. */
export function rethrow(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
