/**
 * Records on their way to one partition: filled, finished (encoded once), sent as often as needed, settled once.
 *
 * The frame that `finish` made stays as it is from the first send on: the transport owns bytes that it was given, and the
 * owner of the partition stamps the bytes that it receives, which in one process may be these very bytes. A repeat, or
 * another numbering, is therefore a copy.
 */
import {
  assert,
  type ClientHeader,
  type Crc32,
  encodeBody,
  FRAME_HEADER_BYTES,
  LIMITS,
  type PyralogError,
  type RecordTuple,
  TIMESTAMP_DELTA_MAX,
  writeClientHeader,
} from '@pyralog/shared/core';
import type { Numbering } from './numbering.ts';
import type { BatchAck } from './options.ts';
import type { PreparedRecord } from './prepared-record.ts';

/** Who waits for one record of a batch. */
export interface Settler {
  /** `ack` is that of the batch, `index` the record's place in it. */
  acknowledged(ack: BatchAck, index: number): void;
  failed(error: PyralogError): void;
}

/** Header, and the prefix of the array that the records are. */
export const BATCH_PREFIX_BYTES_MAX = FRAME_HEADER_BYTES + 5;

export class Batch {
  readonly baseTimestampMs: number;
  readonly openedAtMs: number;
  /** Encoded bytes of the records, as they count towards the bytes in flight. */
  bytes = 0;
  /** Records that were written without anyone waiting for their result. */
  unattended = 0;
  /** Sequence of the first record, under `numbering`. */
  baseSequence = 0;
  numbering: Numbering | undefined;
  /** Place among the batches of its sender. */
  ordinal = 0;
  /** Counts the sends, and names the last one. */
  attempt = 0;
  inFlight = false;
  /** Some attempt may have been applied. */
  uncertain = false;
  settled = false;
  lastError: PyralogError | undefined;
  onSettled: (() => void) | undefined;

  readonly #limitBytes: number;
  /** Empty once the frame is there. */
  #records: RecordTuple[] = [];
  #recordCount = 0;
  #frame: Uint8Array | undefined;
  #isHeaderStale = true;
  readonly #settlers: Settler[] = [];
  /** Places of the settlers' records. */
  readonly #indexes: number[] = [];

  constructor(options: { baseTimestampMs: number; openedAtMs: number; limitBytes: number }) {
    this.baseTimestampMs = options.baseTimestampMs;
    this.openedAtMs = options.openedAtMs;
    this.#limitBytes = options.limitBytes;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** Whether another record of `size` bytes may join. A first record always may. */
  fits(timestampMs: number, size: number): boolean {
    const delta = timestampMs - this.baseTimestampMs;
    return (
      BATCH_PREFIX_BYTES_MAX + this.bytes + size <= this.#limitBytes &&
      this.#recordCount < LIMITS.batchRecordsMax &&
      delta <= TIMESTAMP_DELTA_MAX &&
      delta >= -TIMESTAMP_DELTA_MAX
    );
  }

  add(record: PreparedRecord, settler: Settler | undefined): void {
    if (settler === undefined) {
      this.unattended++;
    } else {
      this.#settlers.push(settler);
      this.#indexes.push(this.#recordCount);
    }
    this.#records.push(toTuple(record, record.timestampMs - this.baseTimestampMs));
    this.#recordCount++;
    this.bytes += record.size;
  }

  /** Takes no more records. */
  finish(): void {
    this.#frame = encodeBody(this.#records);
    this.#records = [];
  }

  /** From the next payload on. */
  takeNumber(numbering: Numbering, baseSequence: number): void {
    this.numbering = numbering;
    this.baseSequence = baseSequence;
    this.#isHeaderStale = true;
  }

  /** The bytes of the next attempt. They belong to the transport. */
  nextPayload(crc32: Crc32): Uint8Array {
    const frame = this.#frame;
    const { numbering } = this;
    assert(frame !== undefined && numbering !== undefined, 'batch is not finished, not numbered, or settled');
    const payload = this.attempt === 0 ? frame : frame.slice();
    this.attempt++;
    if (!this.#isHeaderStale) return payload;
    const header: ClientHeader = {
      codec: 'none',
      recordCount: this.#recordCount,
      producerId: numbering.producerId,
      producerEpoch: numbering.producerEpoch,
      baseSequence: this.baseSequence,
      baseTimestampMs: this.baseTimestampMs,
      bodyBytes: payload.byteLength - FRAME_HEADER_BYTES,
    };
    writeClientHeader(payload, header, crc32);
    this.#isHeaderStale = false;
    this.#frame = payload;
    return payload;
  }

  settle(result: BatchAck | PyralogError): void {
    this.settled = true;
    this.#frame = undefined;
    for (const [place, settler] of this.#settlers.entries()) {
      if (isAck(result)) settler.acknowledged(result, this.#indexes[place] ?? 0);
      else settler.failed(result);
    }
    this.#settlers.length = 0;
    this.onSettled?.();
  }
}

export function isAck(result: BatchAck | PyralogError): result is BatchAck {
  return !(result instanceof Error);
}

function toTuple(record: PreparedRecord, timestampDelta: number): RecordTuple {
  const key = record.key ?? null;
  const value = record.value ?? null;
  return record.headers === undefined || record.headers.length === 0
    ? [timestampDelta, key, value]
    : [timestampDelta, key, value, record.headers.flat()];
}
