/** Errors of nats.js as `PyralogError`, and what a handler's error does. */
import { ErrorCode, type NatsError } from 'nats';
import { AssertionError, describeError, type ErrorFields, type Logger, PyralogError } from '../core/index.ts';

const CODE_TIMEOUT: string = ErrorCode.Timeout;
const CODE_NO_RESPONDERS: string = ErrorCode.NoResponders;
const NOT_SENT: ReadonlySet<string> = new Set([
  ErrorCode.ConnectionRefused,
  ErrorCode.ConnectionTimeout,
  'ENOTFOUND',
  'EHOSTUNREACH',
]);
const CLOSED: ReadonlySet<string> = new Set([ErrorCode.ConnectionClosed, ErrorCode.ConnectionDraining]);
const UNAUTHORIZED: ReadonlySet<string> = new Set([
  ErrorCode.PermissionsViolation,
  ErrorCode.AuthorizationViolation,
  ErrorCode.AuthenticationExpired,
  ErrorCode.AuthenticationTimeout,
  ErrorCode.BadAuthentication,
  ErrorCode.BadCreds,
]);

/** The operating error that `reason`, thrown by nats.js, stands for. */
export function translateNatsError(reason: unknown, fields: ErrorFields): PyralogError {
  if (reason instanceof PyralogError) return reason;
  const code = codeOf(reason);
  if (code === CODE_NO_RESPONDERS) {
    return new PyralogError({
      code: 'unavailable',
      message: 'nobody listens to the subject',
      fields: { ...fields, reason: 'no-responders' },
    });
  }
  if (code === CODE_TIMEOUT) {
    return new PyralogError({ code: 'timeout', message: 'no reply in time', fields });
  }
  if (CLOSED.has(code)) {
    return new PyralogError({ code: 'closed', message: 'connection is closed', fields, cause: reason });
  }
  if (UNAUTHORIZED.has(code)) {
    return new PyralogError({
      code: 'unauthorized',
      message: 'nats refused the credentials or the subject',
      fields,
      cause: reason,
    });
  }
  return new PyralogError({
    code: 'unavailable',
    message: 'nats is not reachable',
    outcome: NOT_SENT.has(code) ? 'not-applied' : 'unknown',
    fields: { ...fields, reason: code === '' ? describeError(reason) : code },
    cause: reason,
  });
}

function codeOf(reason: unknown): string {
  if (!(reason instanceof Error)) return '';
  const { code } = reason as Partial<NatsError>;
  return typeof code === 'string' ? code : '';
}

/**
 * What becomes of an error that a handler threw: it is logged and goes no further, because nats.js would stop reading;
 * an assertion that failed ends the process.
 */
export function handlerFailed(logger: Logger, subject: string, error: unknown): void {
  if (error instanceof AssertionError) {
    setImmediate(() => {
      throw error;
    });
    return;
  }
  logger.error('handler failed', { subject, error });
}
