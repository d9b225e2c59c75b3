import { weakly } from './calls.js';
import { LogLevel, type Logger } from './logger.js';
import { type NativeLog, native } from './native.js';

type Row = [level: number, timestamp: number, target: string, message: string, fields: object];

interface Route {
  log: NativeLog | undefined;
  users: number;
  drain(): void;
}

// The library's log is one a process; nodes with the same logger share a route.
const routes = new Map<Logger, Route>();

function open(logger: Logger): Route {
  const children = new Map<string, Logger>();
  // The records of the levels of this moment; the logger itself decides again for each.
  const level = Math.min(Math.max(4 - logger.getLevel(), 1), 4);
  const drain = () => {
    while (route.log) {
      const rows = JSON.parse(route.log.take()) as Row[];
      if (rows.length === 0) return;
      for (const [level, , target, message, fields] of rows) {
        let child = children.get(target);
        if (!child) children.set(target, (child = logger.child({ component: target })));
        const method = (['error', 'error', 'warn', 'info', 'debug', 'debug'] as const)[level];
        child[method ?? 'debug'](message, fields);
      }
    }
  };
  const route: Route = { log: undefined, users: 0, drain };
  route.log = new (native().NativeLog)(level, weakly(route, (route) => route.drain()));
  return route;
}

/** @internal Writes the library's own records to a logger until the returned function is called. */
export function routeLog(logger: Logger): () => void {
  if (logger.getLevel() === LogLevel.SILENT) return () => {};
  let route = routes.get(logger);
  if (!route) routes.set(logger, (route = open(logger)));
  route.users += 1;
  const used = route;
  let closed = false;
  return () => {
    if (closed) return;
    closed = true;
    used.users -= 1;
    if (used.users > 0) return;
    routes.delete(logger);
    used.drain();
    used.log?.close();
    used.log = undefined;
  };
}
