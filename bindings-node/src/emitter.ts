import { EventEmitter } from 'node:events';

import { rethrow } from './calls.js';

/** What every `EventEmitter` emits of itself. */
interface OwnEvents {
  newListener: [event: string | symbol, listener: (...args: any[]) => void];
  removeListener: [event: string | symbol, listener: (...args: any[]) => void];
}

type Listener<Events, E extends keyof Events> = Events[E] extends unknown[]
  ? (...args: Events[E]) => void
  : never;

type AnyListener = (...args: any[]) => void;

/**
 * An `EventEmitter` whose events are a union of names, each with its arguments: a name that does not
 * exist is an error of the compiler. What a listener throws becomes an `uncaughtException`, and stops
 * nobody else.
 */
export abstract class TypedEmitter<Events> extends EventEmitter {
  /** @internal Listeners of an event, or of any, have come or gone. */
  protected listenersChanged(_event: string | symbol | undefined): void {}

  /** @internal Calls the listeners of an event. One that throws stops nobody else. */
  protected tell(event: string | symbol, args: readonly unknown[]): void {
    for (const listener of this.rawListeners(event)) {
      try {
        Reflect.apply(listener, this, args);
      } catch (error) {
        rethrow(error);
      }
    }
  }

  override on<E extends keyof Events>(event: E, listener: Listener<Events, E>): this;
  override on<E extends keyof OwnEvents>(event: E, listener: Listener<OwnEvents, E>): this;
  override on(event: symbol, listener: AnyListener): this;
  override on(event: any, listener: AnyListener): this {
    super.on(event, listener);
    this.listenersChanged(event);
    return this;
  }

  override addListener<E extends keyof Events>(event: E, listener: Listener<Events, E>): this;
  override addListener<E extends keyof OwnEvents>(event: E, listener: Listener<OwnEvents, E>): this;
  override addListener(event: symbol, listener: AnyListener): this;
  override addListener(event: any, listener: AnyListener): this {
    super.addListener(event, listener);
    this.listenersChanged(event);
    return this;
  }

  override once<E extends keyof Events>(event: E, listener: Listener<Events, E>): this;
  override once<E extends keyof OwnEvents>(event: E, listener: Listener<OwnEvents, E>): this;
  override once(event: symbol, listener: AnyListener): this;
  override once(event: any, listener: AnyListener): this {
    super.once(event, listener);
    this.listenersChanged(event);
    return this;
  }

  override prependListener<E extends keyof Events>(event: E, listener: Listener<Events, E>): this;
  override prependListener<E extends keyof OwnEvents>(
    event: E,
    listener: Listener<OwnEvents, E>,
  ): this;
  override prependListener(event: symbol, listener: AnyListener): this;
  override prependListener(event: any, listener: AnyListener): this {
    super.prependListener(event, listener);
    this.listenersChanged(event);
    return this;
  }

  override prependOnceListener<E extends keyof Events>(
    event: E,
    listener: Listener<Events, E>,
  ): this;
  override prependOnceListener<E extends keyof OwnEvents>(
    event: E,
    listener: Listener<OwnEvents, E>,
  ): this;
  override prependOnceListener(event: symbol, listener: AnyListener): this;
  override prependOnceListener(event: any, listener: AnyListener): this {
    super.prependOnceListener(event, listener);
    this.listenersChanged(event);
    return this;
  }

  override off<E extends keyof Events>(event: E, listener: Listener<Events, E>): this;
  override off<E extends keyof OwnEvents>(event: E, listener: Listener<OwnEvents, E>): this;
  override off(event: symbol, listener: AnyListener): this;
  override off(event: any, listener: AnyListener): this {
    super.off(event, listener);
    this.listenersChanged(event);
    return this;
  }

  override removeListener<E extends keyof Events>(event: E, listener: Listener<Events, E>): this;
  override removeListener<E extends keyof OwnEvents>(
    event: E,
    listener: Listener<OwnEvents, E>,
  ): this;
  override removeListener(event: symbol, listener: AnyListener): this;
  override removeListener(event: any, listener: AnyListener): this {
    super.removeListener(event, listener);
    this.listenersChanged(event);
    return this;
  }

  override removeAllListeners(event?: string | symbol): this {
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    this.listenersChanged(event);
    return this;
  }
}
