/**
 * Configuration from environment variables. A schema's keys are the variables' names; an empty variable counts as
 * absent. Every problem is reported at once, and values never are: they may be credentials.
 */
import { z } from 'zod';
import { DEFAULTS, isProcessId, PyralogError } from '../core/index.ts';
import { LOG_LEVELS } from './logger.ts';
import { redactUserinfo } from './redact.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the variables that `schema` names.
 * @throws PyralogError `invalid` whose `problems` lists every variable that is missing or not well formed.
 */
export function readConfig<T extends z.ZodType>(schema: T, env: Environment): z.output<T> {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const variable = issue.path.join('.');
    const absent = variable !== '' && given[variable] === undefined;
    return `${variable}: ${absent ? 'is required' : redactUserinfo(issue.message)}`;
  });
  throw new PyralogError({
    code: 'invalid',
    message: 'configuration is not valid',
    fields: { field: result.error.issues[0]?.path.join('.'), problems },
  });
}

/** A whole number in `[minimum, maximum]`. */
export function wholeNumber(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER) {
  return z
    .string()
    .regex(/^\d{1,16}$/, 'is not a whole number')
    .transform(Number)
    .refine((value) => value >= minimum && value <= maximum, `is not between ${minimum} and ${maximum}`);
}

/** Variables that sequencers and storage nodes have in common. */
export const serviceVariables = {
  /** Servers, comma separated; credentials may stand in the URL. */
  PYRALOG_NATS_URL: z.string(),
  PYRALOG_CLUSTER: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'is not 1 to 64 letters, digits, _ or -')
    .default('pyralog'),
  PYRALOG_ID: z.string().refine(isProcessId, 'is not 1 to 63 lower-case letters, digits or inner -'),
  PYRALOG_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  PYRALOG_HEARTBEAT_INTERVAL_MS: wholeNumber(10, 60_000).default(DEFAULTS.heartbeatIntervalMs),
  PYRALOG_SUSPECT_AFTER_MS: wholeNumber(20, 600_000).default(DEFAULTS.suspectAfterMs),
} as const;
