/**
 * What went wrong, stable across versions. The same names as in every other language of distflow,
 * and `aborted`, which only JavaScript has.
 */
export type ErrorCode =
  | 'invalid_argument'
  | 'insecure'
  | 'invalid_handle'
  | 'reentrant_call'
  | 'abi_mismatch'
  | 'not_started'
  | 'closed'
  | 'already_running'
  | 'forked'
  | 'pmd_unavailable'
  | 'not_pmd'
  | 'pmd_launch_failed'
  | 'timeout'
  | 'resolve_failed'
  | 'node_not_found'
  | 'alias_in_use'
  | 'node_id_in_use'
  | 'refused'
  | 'connection_failed'
  | 'busy'
  | 'address_in_use'
  | 'io'
  | 'invalid_frame'
  | 'too_large'
  | 'invalid_json'
  | 'invalid_message'
  | 'source_conflict'
  | 'internal'
  | 'panic'
  | 'aborted';

/** What a {@link DistflowError} has beyond its code and text. */
export interface DistflowErrorOptions {
  /** The value that caused it. */
  cause?: unknown;
  /** The texts of what caused it, the nearest first. Default none. */
  causes?: readonly string[] | undefined;
}

/**
 * Every error of this package.
 *
 * `message` is the text of the original packages wherever they have one, so programs that compare
 * texts keep working; new ones compare `code`. An aborted wait has the code `aborted`, the name
 * `AbortError` and the signal's reason as `cause`.
 */
export class DistflowError extends Error {
  /** What went wrong, as a stable word. */
  readonly code: ErrorCode;
  /** The texts of what caused it, the nearest first; often empty. */
  readonly causes: readonly string[];

  constructor(code: ErrorCode, message: string, options: DistflowErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.causes = options.causes ?? [];
    // Not enumerable, like that of every other error.
    const name = code === 'aborted' ? 'AbortError' : 'DistflowError';
    Object.defineProperty(this, 'name', { value: name, configurable: true, writable: true });
  }
}

/** @internal An error as the addon tells it. */
export interface NativeFailure {
  code: ErrorCode;
  message: string;
  causes: string[];
}

/** @internal */
export function fromFailure(failure: NativeFailure): DistflowError {
  const { code, message, causes } = failure;
  return new DistflowError(code, message, { causes });
}

/** @internal Turns what the addon threw into a `DistflowError`. */
export function fromThrown(error: unknown): DistflowError {
  const text = error instanceof Error ? error.message : String(error);
  try {
    return fromFailure(JSON.parse(text) as NativeFailure);
  } catch {
    // The addon's own glue: a wrong type of argument, or a panic that was caught.
    return new DistflowError('internal', text, { cause: error });
  }
}

/** @internal A node that was shut down, or not started yet; the originals say the same of both. */
export function notRunning(ended: boolean): DistflowError {
  return new DistflowError(ended ? 'closed' : 'not_started', 'Node not started');
}

/** @internal */
export function invalid(message: string): DistflowError {
  return new DistflowError('invalid_argument', message);
}

/** @internal */
export function aborted(signal: AbortSignal): DistflowError {
  return new DistflowError('aborted', 'The operation was aborted', { cause: signal.reason });
}

/** @internal The error that a PMD's text means. */
export function fromPmd(text: string): DistflowError {
  let code: ErrorCode = 'refused';
  if (text === 'Node not found') code = 'node_not_found';
  else if (/^Alias '.*already in use$/s.test(text)) code = 'alias_in_use';
  else if (/^Node '.*already registered$/s.test(text)) code = 'node_id_in_use';
  return new DistflowError(code, text);
}

/** @internal An error of a socket, with its text as it is. */
export function fromSocket(error: NodeJS.ErrnoException): DistflowError {
  let code: ErrorCode = 'io';
  if (error.code === 'EADDRINUSE') code = 'address_in_use';
  else if (error.code === 'ETIMEDOUT') code = 'timeout';
  else if (/^(ECONN|EPIPE|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH)/.test(error.code ?? '')) {
    code = 'connection_failed';
  }
  // A host with several addresses fails with one error that holds theirs, without a text.
  const inner = (error as { errors?: unknown[] }).errors;
  const first = inner?.[0] instanceof Error ? inner[0].message : error.code;
  return new DistflowError(code, error.message || first || 'connection failed', { cause: error });
}
