/**
 * The one class of operating errors, and the assertion for a programmer's error.
 *
 * `retry` says what a caller may do: `never` (it would fail again), `same` (send the same again, later), `refresh` (ask
 * for the topology first). `outcome` says whether the operation may have happened: `not-applied` (certainly not),
 * `unknown` (perhaps).
 */
export const ERROR_CODES = [
  'invalid',
  'overloaded',
  'unavailable',
  'timeout',
  'fenced',
  'not-sequencer',
  'trimmed',
  'data-loss',
  'corrupt',
  'read-only',
  'unauthorized',
  'closed',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];
export type Retry = 'never' | 'same' | 'refresh';
export type Outcome = 'not-applied' | 'unknown';
export type ErrorFields = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface ErrorDescription {
  readonly code: ErrorCode;
  /** Constant, lower case; what varies goes into `fields`. */
  readonly message: string;
  readonly retry?: Retry;
  readonly outcome?: Outcome;
  readonly fields?: ErrorFields;
  readonly cause?: unknown;
}

const RETRY_OF: Readonly<Record<ErrorCode, Retry>> = {
  invalid: 'never',
  overloaded: 'same',
  unavailable: 'refresh',
  timeout: 'same',
  fenced: 'refresh',
  'not-sequencer': 'refresh',
  trimmed: 'never',
  'data-loss': 'never',
  corrupt: 'never',
  'read-only': 'same',
  unauthorized: 'never',
  closed: 'never',
};

export class PyralogError extends Error {
  override readonly name = 'PyralogError';
  readonly code: ErrorCode;
  readonly retry: Retry;
  readonly outcome: Outcome;
  readonly fields: ErrorFields;

  constructor(description: ErrorDescription) {
    super(description.message, description.cause === undefined ? undefined : { cause: description.cause });
    this.code = description.code;
    this.retry = description.retry ?? RETRY_OF[description.code];
    this.outcome = description.outcome ?? (description.code === 'timeout' ? 'unknown' : 'not-applied');
    this.fields = description.fields ?? {};
  }
}

/** `PyralogError` `invalid` that names the field, and the limit where there is one. */
export function invalid(field: string, message: string, fields: ErrorFields = {}): PyralogError {
  return new PyralogError({ code: 'invalid', message, fields: { field, ...fields } });
}

/** What `reason` says on one line: the message, and the fields of a `PyralogError`. */
export function describeError(reason: unknown): string {
  if (!(reason instanceof Error)) return String(reason);
  if (!(reason instanceof PyralogError)) return reason.message;
  const fields = Object.entries(reason.fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${Array.isArray(value) ? value.join(',') : String(value)}`);
  return fields.length === 0 ? reason.message : `${reason.message} (${fields.join(', ')})`;
}

/** A programmer's error: the process must not go on. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Ends a switch over a closed set. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
