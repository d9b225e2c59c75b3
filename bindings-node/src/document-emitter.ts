import { EventEmitter } from 'node:events';

import { rethrow } from './calls.js';
import type { JSONCrdtEvents } from './json-crdt-types.js';

/** The events of a document: typed, and telling whoever makes them when listeners come and go. */
export abstract class DocumentEmitter extends EventEmitter {
  /** @internal Listeners have come or gone. */
  protected abstract listenersChanged(): void;

  /** @internal Calls the listeners of an event. One that throws stops nobody else. */
  protected emitAll<E extends keyof JSONCrdtEvents>(name: E, ...args: JSONCrdtEvents[E]): void {
    for (const listener of this.rawListeners(name)) {
      attempt(() => Reflect.apply(listener, this, args));
    }
  }

  override on<E extends keyof JSONCrdtEvents>(
    event: E,
    listener: (...args: JSONCrdtEvents[E]) => void,
  ): this;
  override on(event: string | symbol, listener: (...args: any[]) => void): this;
  override on(event: string | symbol, listener: (...args: any[]) => void): this {
    super.on(event, listener);
    this.listenersChanged();
    return this;
  }

  override once<E extends keyof JSONCrdtEvents>(
    event: E,
    listener: (...args: JSONCrdtEvents[E]) => void,
  ): this;
  override once(event: string | symbol, listener: (...args: any[]) => void): this;
  override once(event: string | symbol, listener: (...args: any[]) => void): this {
    super.once(event, listener);
    this.listenersChanged();
    return this;
  }

  override addListener(event: string | symbol, listener: (...args: any[]) => void): this {
    return this.on(event, listener);
  }

  override prependListener(event: string | symbol, listener: (...args: any[]) => void): this {
    super.prependListener(event, listener);
    this.listenersChanged();
    return this;
  }

  override removeListener(event: string | symbol, listener: (...args: any[]) => void): this {
    super.removeListener(event, listener);
    this.listenersChanged();
    return this;
  }

  override off(event: string | symbol, listener: (...args: any[]) => void): this {
    return this.removeListener(event, listener);
  }

  override removeAllListeners(event?: string | symbol): this {
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    this.listenersChanged();
    return this;
  }
}

/** @internal Makes an exception of a callback an `uncaughtException`. */
export function attempt(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    rethrow(error);
  }
}
