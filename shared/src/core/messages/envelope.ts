/**
 * Control messages: JSON objects, checked against a schema on arrival. A reply is `{ok: true, result}` or
 * `{ok: false, error}`, where the error is a `PyralogError` by value.
 */
import { z } from 'zod';
import { hex64, text, utf8 } from '../bytes.ts';
import { describeError, ERROR_CODES, type ErrorFields, type Outcome, PyralogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';

/** Longest text in an error that travels; more is cut off. */
const ERROR_TEXT_LENGTH_MAX = 1_000;
const ERROR_LIST_LENGTH_MAX = 256;

const errorSchema = z.object({
  code: z.enum(ERROR_CODES),
  message: z.string().max(ERROR_TEXT_LENGTH_MAX),
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
  return checked(schema, bytes, 'not-applied');
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
  const { code, retry, outcome } = error;
  const fields = Object.fromEntries(Object.entries(error.fields).map(([name, value]) => [name, wireField(value)]));
  return encodeMessage({ ok: false, error: { code, message: clip(error.message), retry, outcome, fields } });
}

/** A field's value such that the other side accepts the error: bounded, and no number that JSON does not have. */
function wireField(value: ErrorFields[string]): ErrorFields[string] {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (typeof value === 'string') return clip(value);
  return typeof value === 'object' ? value.slice(0, ERROR_LIST_LENGTH_MAX).map(clip) : value;
}

function clip(value: string): string {
  return value.slice(0, ERROR_TEXT_LENGTH_MAX);
}

/**
 * The result of a reply.
 * @throws PyralogError the one that the reply carries; `invalid`, outcome `unknown`, when the reply is not well formed:
 *   what was asked for may have happened.
 */
export function decodeReply<T extends z.ZodType>(schema: T, bytes: Uint8Array): z.output<T> {
  const reply = checked(replySchema, bytes, 'unknown');
  if (!reply.ok) throw new PyralogError(reply.error);
  const result = schema.safeParse(reply.result);
  if (!result.success) throw illFormed(result.error, 'result', 'reply is not well formed', 'unknown');
  return result.data;
}

/** `outcome` is that of the operation which the message is about, should the message be refused. */
function checked<T extends z.ZodType>(schema: T, bytes: Uint8Array, outcome: Outcome): z.output<T> {
  const limit = LIMITS.controlMessageBytesMax;
  if (bytes.byteLength > limit) {
    throw malformed('message is too large', outcome, { field: 'message', size: bytes.byteLength, limit });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text(bytes));
  } catch {
    throw malformed('message is not JSON', outcome, { field: 'message' });
  }
  const result = schema.safeParse(parsed);
  if (!result.success) throw illFormed(result.error, 'message', 'message is not well formed', outcome);
  return result.data;
}

function illFormed(error: z.ZodError, whole: string, message: string, outcome: Outcome): PyralogError {
  const issue = error.issues[0];
  const field = issue === undefined || issue.path.length === 0 ? whole : issue.path.join('.');
  return malformed(message, outcome, { field: clip(field), problem: issue?.message });
}

function malformed(message: string, outcome: Outcome, fields: ErrorFields): PyralogError {
  return new PyralogError({ code: 'invalid', message, outcome, fields });
}
