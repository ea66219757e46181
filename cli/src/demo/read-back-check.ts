/**
 * Compares what was read back with what was appended, record by record. It holds when every record came back exactly
 * once with the same bytes, the records of each key in the order they were appended and in one partition, and the
 * offsets of each partition without a gap from 0.
 */
import type { ConsumedRecord } from '@pyralog/client';
import { bytesEqual, type ErrorFields, PyralogError } from '@pyralog/shared/core';
import type { FlightRecord } from './flights.ts';

interface KeyProgress {
  /** Values of the key, in the order they were appended. */
  readonly values: Uint8Array[];
  read: number;
  partition: number | undefined;
}

export class ReadBackCheck {
  readonly #keys = new Map<string, KeyProgress>();
  readonly #nextOffsets = new Map<number, number>();
  readonly #expected: number;
  #read = 0;

  constructor(appended: readonly FlightRecord[]) {
    this.#expected = appended.length;
    for (const { key, value } of appended) {
      const progress = this.#keys.get(key);
      if (progress === undefined) this.#keys.set(key, { values: [value], read: 0, partition: undefined });
      else progress.values.push(value);
    }
  }

  /** Records read back so far. */
  get read(): number {
    return this.#read;
  }

  /** @throws PyralogError `corrupt` at the first record that is not the expected one of its key. */
  record(record: ConsumedRecord): void {
    const { partition, offset } = record;
    const nextOffset = this.#nextOffsets.get(partition) ?? 0;
    if (offset !== nextOffset)
      throw mismatch('record read back is not at the next offset', { partition, offset, nextOffset });
    this.#nextOffsets.set(partition, nextOffset + 1);
    const key = record.key === undefined ? undefined : Buffer.from(record.key).toString('utf8');
    const progress = key === undefined ? undefined : this.#keys.get(key);
    if (progress === undefined)
      throw mismatch('record read back has a key that was not appended', { partition, offset, key });
    progress.partition ??= partition;
    if (progress.partition !== partition) {
      throw mismatch('key came back from two partitions', {
        partition,
        offset,
        key,
        otherPartition: progress.partition,
      });
    }
    const expected = progress.values[progress.read];
    if (expected === undefined)
      throw mismatch('record came back more often than it was appended', { partition, offset, key });
    if (record.value === undefined || !bytesEqual(record.value, expected)) {
      throw mismatch('record read back differs from the one appended in its place', { partition, offset, key });
    }
    progress.read++;
    this.#read++;
  }

  /** @throws PyralogError `data-loss` when records did not come back. */
  finish(): void {
    if (this.#read === this.#expected) return;
    throw new PyralogError({
      code: 'data-loss',
      message: 'records did not come back',
      fields: { appended: this.#expected, read: this.#read },
    });
  }
}

function mismatch(message: string, fields: ErrorFields): PyralogError {
  return new PyralogError({ code: 'corrupt', message, fields });
}
