/** What a produce left behind: counted from acknowledgements, so that it is true even when the produce was cut off. */
import type { BatchAck } from '@pyralog/client';
import { formatBytes, formatCount, formatSeconds, perSecond } from './table.ts';

interface PartitionRange {
  first: number;
  last: number;
  count: number;
}

export class ProduceSummary {
  readonly #partitions = new Map<number, PartitionRange>();
  #records = 0;

  /** Records acknowledged. */
  get records(): number {
    return this.#records;
  }

  add(ack: BatchAck): void {
    const last = ack.offset + ack.count - 1;
    this.#records += ack.count;
    const range = this.#partitions.get(ack.partition);
    if (range === undefined) {
      this.#partitions.set(ack.partition, { first: ack.offset, last, count: ack.count });
      return;
    }
    range.first = Math.min(range.first, ack.offset);
    range.last = Math.max(range.last, last);
    range.count += ack.count;
  }

  /** @param totals bytes of values that were given to the producer, and how long all took. */
  toJson(totals: { readonly bytes: number; readonly seconds: number }): string {
    const { bytes, seconds } = totals;
    return JSON.stringify({
      records: this.#records,
      bytes,
      seconds: Number(seconds.toFixed(3)),
      partitions: Object.fromEntries(this.#partitions),
    });
  }

  toText(totals: { readonly bytes: number; readonly seconds: number }): string {
    const { bytes, seconds } = totals;
    const partitions = `${this.#partitions.size} ${this.#partitions.size === 1 ? 'partition' : 'partitions'}`;
    return (
      `${formatCount(this.#records)} ${this.#records === 1 ? 'record' : 'records'}, ${formatBytes(bytes)} in ${formatSeconds(seconds)} to ${partitions} ` +
      `(${formatCount(perSecond(this.#records, seconds))} records/s, ${formatBytes(Math.round(perSecond(bytes, seconds)))}/s)`
    );
  }
}
