/** @internal The method by which an object says how `console.log` shows it. */
export const INSPECT = Symbol.for('nodejs.util.inspect.custom');

type Inspect = (value: object, options: object) => string;

/** @internal An object as `console.log` shows it: the name of its class, and what is worth knowing. */
export function inspected(object: object, of: object, args: readonly unknown[]): string {
  const [depth, options, inspect] = args as [number, object, Inspect | undefined];
  const name = object.constructor.name;
  if (!inspect) return name;
  if (depth < 0) return `[${name}]`;
  const known = Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined));
  return `${name} ${inspect(known, { ...options, depth })}`;
}
