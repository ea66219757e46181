/** What the owner's reply to an append means. */
import { type AppendReply, decodeAppendReply, describeError, type Outcome, PyralogError } from '@pyralog/shared/core';

/** The reply, or why there is none that says what happened. */
export function readAppendReply(bytes: Uint8Array): AppendReply | PyralogError {
  try {
    return decodeAppendReply(bytes);
  } catch (error) {
    const failure = asPyralogError(error);
    // A reply that cannot be read says nothing of the append; the owner's own refusals of that kind name the sequence.
    const isUnreadable =
      failure.code === 'corrupt'
        ? failure.retry === 'never'
        : failure.code === 'invalid' && failure.outcome === 'unknown';
    if (!isUnreadable || failure.fields.expectedSequence !== undefined) return failure;
    return new PyralogError({
      code: 'corrupt',
      message: 'append reply is not well formed',
      retry: 'same',
      outcome: 'unknown',
      cause: error,
    });
  }
}

export function asPyralogError(error: unknown): PyralogError {
  if (error instanceof PyralogError) return error;
  return new PyralogError({ code: 'unavailable', message: describeError(error), outcome: 'unknown', cause: error });
}

/** The sequence that the owner expects next, if that is why it refused. */
export function expectedSequenceOf(error: PyralogError): number | undefined {
  const expected = error.fields.expectedSequence;
  return error.code === 'unavailable' && typeof expected === 'number' ? expected : undefined;
}

/** Also a partition whose owner died is tried: that it died is a suspicion. */
export function hasNoOwner(partition: number, state: string | undefined, cause?: unknown): PyralogError {
  return new PyralogError({
    code: 'unavailable',
    message: 'partition has no live owner',
    fields: { partition, state: state ?? 'unknown' },
    cause,
  });
}

/** `error` with what is known of the outcome of the records that it ends. */
export function withOutcome(error: PyralogError, outcome: Outcome): PyralogError {
  if (error.outcome === outcome) return error;
  const { code, message, retry, fields } = error;
  return new PyralogError({ code, message, retry, outcome, fields, cause: error });
}
