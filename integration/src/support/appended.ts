/** Appends under load whose every outcome is recorded, and what is read back. */
import assert from 'node:assert/strict';
import type { ConsumedRecord, PyralogClient } from '@pyralog/client';
import { PyralogError, text } from '@pyralog/shared/core';
import { type Append, type Seen, violations } from './history.ts';

/** Reads a log from its earliest record to its end as of now. */
export async function readAll(client: PyralogClient, log: string): Promise<ConsumedRecord[]> {
  const records: ConsumedRecord[] = [];
  for await (const record of client.reader(log, { from: 'earliest', follow: false })) records.push(record);
  return records;
}

export function seenBy(records: readonly ConsumedRecord[]): Seen[] {
  return records.map(({ partition, offset, value }) => ({ partition, offset, value: text(value ?? new Uint8Array()) }));
}

/** Appends until told to stop, `concurrency` at a time. Values are unique. */
export class Appender {
  readonly appends: Append[] = [];
  acknowledgements = 0;
  readonly #workers: Promise<void>[];
  #stopping = false;

  constructor(
    client: PyralogClient,
    log: string,
    options: { concurrency?: number; deliveryTimeoutMs?: number; name?: string } = {},
  ) {
    const { concurrency = 50, deliveryTimeoutMs = 60_000, name = 'value' } = options;
    const producer = client.producer(log, { lingerMs: 1, deliveryTimeoutMs });
    const work = async (): Promise<void> => {
      while (!this.#stopping) {
        const number = this.appends.length;
        const append: Append = { value: `${name}-${number}`, sentAtMs: performance.now(), outcome: 'sent' };
        this.appends.push(append);
        try {
          const { partition, offset } = await producer.append({ key: `key-${number % 50}`, value: append.value });
          Object.assign(append, { partition, offset, outcome: 'acknowledged' });
          this.acknowledgements++;
        } catch (error) {
          if (!(error instanceof PyralogError)) throw error;
          append.outcome = error.outcome === 'unknown' ? 'unknown' : 'refused';
          if (error.code === 'closed') return;
        }
        append.settledAtMs = performance.now();
      }
    };
    this.#workers = Array.from({ length: concurrency }, work);
  }

  count(outcome: Append['outcome']): number {
    return this.appends.filter((append) => append.outcome === outcome).length;
  }

  /** Lets what is under way settle. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#workers);
  }

  /** Checks what was appended against what each reader saw. */
  check(...readers: readonly (readonly ConsumedRecord[])[]): void {
    const found = violations(this.appends, readers.map(seenBy));
    assert.deepEqual(found, [], found.join('\n'));
  }
}
