/**
 * A control request that any sequencer can answer. It is repeated while a repeat can help and do no harm: while it certainly
 * was not applied, or when it changes nothing. Not for long: whoever asks is a person, or has a retry of its own.
 */
import { decodeReply, delay, encodeMessage, PyralogError } from '@pyralog/shared/core';
import { Backoff } from './backoff.ts';
import type { ClientPorts } from './ports.ts';
import { SETTINGS } from './settings.ts';

type Schema = Parameters<typeof decodeReply>[0];
type Output<T extends Schema> = ReturnType<typeof decodeReply<T>>;

/** @throws PyralogError the sequencer's; `unavailable` when none answers, `timeout`, `invalid` (a malformed reply). */
export async function askSequencers<T extends Schema>(
  ports: ClientPorts,
  options: {
    readonly subject: string;
    readonly request: unknown;
    readonly schema: T;
    /** Whether it may be applied twice. */
    readonly isReadOnly: boolean;
  },
): Promise<Output<T>> {
  const { transport, clock, random } = ports;
  const payload = encodeMessage(options.request);
  const backoff = new Backoff(random, { delayMsMin: 20, delayMsMax: 500 });
  const { isReadOnly } = options;
  const patienceEndsMs = clock.monotonicMs() + (isReadOnly ? SETTINGS.queryPatienceMs : SETTINGS.controlPatienceMs);
  for (let attempt = 0; ; attempt++) {
    const timeoutMs = isReadOnly ? queryTimeoutMs(attempt) : SETTINGS.controlTimeoutMs;
    try {
      const reply = await transport.request(options.subject, payload, { timeoutMs });
      return decodeReply(options.schema, reply.payload);
    } catch (error) {
      if (!isWorthRepeating(error, isReadOnly) || clock.monotonicMs() >= patienceEndsMs) throw error;
    }
    await delay(clock, backoff.next());
  }
}

/**
 * NATS picks one of the sequencers, and may pick one that hangs: a question is soon asked again, of another perhaps, and
 * given more time each time, for it may be that all are slow.
 */
function queryTimeoutMs(attempt: number): number {
  return Math.min(SETTINGS.queryTimeoutMs, SETTINGS.queryTimeoutMsMin * 2 ** attempt);
}

function isWorthRepeating(error: unknown, isReadOnly: boolean): boolean {
  if (!(error instanceof PyralogError)) return false;
  // A reply that cannot be read may be followed by one that can.
  if (error.outcome === 'unknown') return isReadOnly && error.code !== 'closed';
  return error.retry !== 'never';
}
