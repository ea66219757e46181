/** Names and replies of JetStream's API, as far as KV buckets need them. */
import type { Msg } from 'nats';
import { z } from 'zod';
import { type ErrorFields, PyralogError, text } from '../core/index.ts';

export const NOTHING = new Uint8Array(0);
/** Header of a message that is no value but the mark of a deletion: `DEL` or `PURGE`. */
export const KV_OPERATION = 'KV-Operation';

export function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}

export function subjectOf(bucket: string, key: string): string {
  return `$KV.${bucket}.${key}`;
}

const errorSchema = z.object({
  code: z.number(),
  err_code: z.number().optional(),
  description: z.string().optional(),
});
export type JetStreamError = z.infer<typeof errorSchema>;

export type JetStreamReply<T> =
  | { readonly kind: 'result'; readonly result: T }
  | { readonly kind: 'error'; readonly error: JetStreamError };

/** @throws PyralogError `unavailable`, outcome `unknown`, when the reply is neither a result nor an error. */
export function parseReply<T extends z.ZodType>(schema: T, message: Msg): JetStreamReply<z.output<T>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text(message.data));
  } catch (cause) {
    throw new PyralogError({ code: 'unavailable', message: 'jetstream reply is not json', outcome: 'unknown', cause });
  }
  const failure = z.object({ error: errorSchema }).safeParse(parsed);
  if (failure.success) return { kind: 'error', error: failure.data.error };
  const result = schema.safeParse(parsed);
  if (result.success) return { kind: 'result', result: result.data };
  throw new PyralogError({
    code: 'unavailable',
    message: 'jetstream reply is not well formed',
    outcome: 'unknown',
    cause: result.error,
  });
}

/** No server has room for the stream: while a cluster starts this passes. */
const ERR_NO_SUITABLE_PEERS = 10005;
/** More than one replica was asked of a server that is no cluster. */
const ERR_REPLICAS_NOT_SUPPORTED = 10074;

/** A 4xx is a request that JetStream refused; anything else may have happened and may succeed later. */
export function jetStreamError(error: JetStreamError, fields: ErrorFields): PyralogError {
  const { code, err_code } = error;
  const refused =
    (code >= 400 && code < 500 && err_code !== ERR_NO_SUITABLE_PEERS) || err_code === ERR_REPLICAS_NOT_SUPPORTED;
  return new PyralogError({
    code: refused ? 'invalid' : 'unavailable',
    message: refused ? 'jetstream refused the request' : 'jetstream is not available',
    outcome: refused ? 'not-applied' : 'unknown',
    fields: { ...fields, field: 'metadata', errCode: err_code, problem: error.description },
  });
}
