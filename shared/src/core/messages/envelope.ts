/**
 * Control messages: JSON objects, checked against a schema on arrival. A reply is `{ok: true, result}` or
 * `{ok: false, error}`, where the error is a `PyralogError` by value.
 */
import { z } from 'zod';
import { hex64, text, utf8 } from '../bytes.ts';
import { describeError, ERROR_CODES, type ErrorFields, PyralogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';

const errorSchema = z.object({
  code: z.enum(ERROR_CODES),
  message: z.string().max(1_000),
  retry: z.enum(['never', 'same', 'refresh']),
  outcome: z.enum(['not-applied', 'unknown']),
  fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])),
});
const replySchema = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), result: z.unknown() }),
  z.object({ ok: z.literal(false), error: errorSchema }),
]);

/** JSON of a message; bigints become 16 hexadecimal digits. */
export function encodeMessage(message: unknown): Uint8Array<ArrayBuffer> {
  return utf8(JSON.stringify(message, (_, member: unknown) => (typeof member === 'bigint' ? hex64(member) : member)));
}

/** @throws PyralogError `invalid` naming the field that is not well formed, or the limit on the message's size. */
export function decodeMessage<T extends z.ZodType>(schema: T, bytes: Uint8Array): z.output<T> {
  if (bytes.byteLength > LIMITS.controlMessageBytesMax) {
    throw malformed('message', 'message is too large', { size: bytes.byteLength, limit: LIMITS.controlMessageBytesMax });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text(bytes));
  } catch {
    throw malformed('message', 'message is not JSON');
  }
  const result = schema.safeParse(parsed);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw malformed(issue?.path.join('.') || 'message', 'message is not well formed', { problem: issue?.message });
  }
  return result.data;
}

export function encodeResult(result: unknown): Uint8Array<ArrayBuffer> {
  return encodeMessage({ ok: true, result });
}

/** An operating error by value. Anything else becomes `unavailable`, outcome `unknown`. */
export function encodeFailure(reason: unknown): Uint8Array<ArrayBuffer> {
  const error =
    reason instanceof PyralogError
      ? reason
      : new PyralogError({ code: 'unavailable', message: describeError(reason), outcome: 'unknown' });
  const { code, message, retry, outcome, fields } = error;
  return encodeMessage({ ok: false, error: { code, message, retry, outcome, fields } });
}

/** The result of a reply. @throws PyralogError the one that the reply carries; `invalid` when it is not well formed. */
export function decodeReply<T extends z.ZodType>(schema: T, bytes: Uint8Array): z.output<T> {
  const reply = decodeMessage(replySchema, bytes);
  if (!reply.ok) throw new PyralogError(reply.error);
  const result = schema.safeParse(reply.result);
  if (!result.success) throw malformed(result.error.issues[0]?.path.join('.') || 'result', 'reply is not well formed');
  return result.data;
}

function malformed(field: string, message: string, fields: ErrorFields = {}): PyralogError {
  return new PyralogError({ code: 'invalid', message, fields: { field, ...fields } });
}
