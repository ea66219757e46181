/**
 * Structured logs: one JSON object a line on stdout (`level`, `time`, `service`, `id`, `msg`, then the fields). Logging
 * never holds the process up.
 */
import { pino, stdSerializers, stdTimeFunctions } from 'pino';
import { type LogFields, type Logger, PyralogError } from '../core/index.ts';
import { redactUserinfo } from './redact.ts';
import { StdoutLines } from './stdout-lines.ts';

export interface LoggerOptions {
  readonly service: string;
  readonly id?: string;
  /** `debug`, `info`, `warn`, `error` or `silent`. */
  readonly level: string;
}

export interface ProcessLogger extends Logger {
  /** Writes out what waits, at once. */
  flush(): void;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/** Errors among the fields keep their name, code, fields, stack and cause. */
export function createLogger(options: LoggerOptions): ProcessLogger {
  stdoutLines ??= new StdoutLines();
  const destination = stdoutLines;
  const log = pino(
    {
      level: options.level,
      base: options.id === undefined ? { service: options.service } : { service: options.service, id: options.id },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: serializeError },
    },
    destination,
  );
  return {
    debug: (message, fields) => log.debug(fields ?? NO_FIELDS, message),
    info: (message, fields) => log.info(fields ?? NO_FIELDS, message),
    warn: (message, fields) => log.warn(fields ?? NO_FIELDS, message),
    error: (message, fields) => log.error(fields ?? NO_FIELDS, message),
    flush: () => destination.flush(),
  };
}

const NO_FIELDS: LogFields = {};

/** Stdout is one, however many loggers there are. */
let stdoutLines: StdoutLines | undefined;

function serializeError(reason: unknown): unknown {
  if (!(reason instanceof Error)) return reason;
  if (reason instanceof PyralogError) {
    const { code, message, retry, outcome, fields, stack, cause } = reason;
    return { name: reason.name, code, message, retry, outcome, fields, stack, cause: serializeError(cause) };
  }
  const { type, message, stack } = stdSerializers.err(reason);
  return { name: type, message: redactUserinfo(message), stack: redactUserinfo(stack) };
}
