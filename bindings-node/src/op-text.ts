import { invalid } from './error.js';
import type { Op } from './json-crdt-types.js';

/** @internal JSON text. Error: `invalid_argument`, which names what has no JSON. */
export function jsonOf(value: unknown, what: string): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw invalid(`${what} can't be written as JSON: ${(error as Error).message}`);
  }
  if (text === undefined) throw invalid(`${what} must be JSON, not ${typeof value}`);
  return text;
}

/**
 * @internal The text of the operation that was made or read last: mostly the next thing that happens
 * to an operation is that it is sent, or received. As long as it is the same that was remembered.
 */
class LastText {
  #op: Op | undefined;
  #text = '';
  #members: readonly unknown[] = [];

  remember(op: Op, text: string): void {
    this.#op = op;
    this.#text = text;
    this.#members = [op.id, op.kind, op.value, op.src, op.hlc?.t, op.hlc?.c, op.path?.length];
  }

  get(op: Op): string | undefined {
    if (op !== this.#op) return undefined;
    const { id, kind, value, src, hlc, path } = op;
    const [i, k, v, s, t, c, l] = this.#members;
    const isSame =
      i === id && k === kind && v === value && s === src && t === hlc?.t && c === hlc?.c;
    // What is in a value may be another by now.
    return isSame && l === path?.length && typeof value !== 'object' ? this.#text : undefined;
  }
}

/** @internal */
export const textOf = new LastText();

/** @internal The text that travels: members in the order of the originals. */
export function encodeOp(op: Op): string {
  const known = textOf.get(op);
  if (known !== undefined) return known;
  const { id, kind, path, value, hlc, deps, src, ended } = op;
  const stamp = { t: hlc.t, c: hlc.c, r: hlc.r };
  return JSON.stringify({ id, kind, path, value, hlc: stamp, deps, src, ended });
}
