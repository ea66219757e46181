/** Frames and records for the tests of the formats, and the arbitraries that make more of them. */
import { crc32 as nativeCrc32 } from 'node:zlib';
import {
  type ClientHeader,
  encodeBody,
  FRAME_HEADER_BYTES,
  type RecordTuple,
  type Stamp,
  stampFrame,
  TIMESTAMP_DELTA_MAX,
  writeClientHeader,
} from '@pyralog/shared/core';
import fc from 'fast-check';

export const crc = (bytes: Uint8Array): number => nativeCrc32(bytes);

export const U32_MAX = 0xffff_ffff;
export const U64_MAX = 0xffff_ffff_ffff_ffffn;

export const u32 = fc.integer({ min: 0, max: U32_MAX });
export const u64 = fc.bigInt({ min: 0n, max: U64_MAX });
export const whole = fc.maxSafeNat();

export interface ClientFields {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly baseTimestampMs: number;
}

export const CLIENT: ClientFields = {
  producerId: 0x0102_0304_0506_0708n,
  producerEpoch: 3,
  baseSequence: 4_294_967_294,
  baseTimestampMs: 1_700_000_000_000,
};

/** A stamp; `with` replaces some of its fields. */
export function stampOf(changes: Partial<Record<keyof Stamp, unknown>> = {}): Stamp {
  return {
    partitionId: 7,
    epoch: 2,
    nonce: 0x1122_3344_5566_7788n,
    baseOffset: 42,
    appendTimeMs: 1_700_000_000_123,
    releasedOffset: 40,
    durability: 'fsync',
    ...changes,
  } as Stamp;
}

/** A frame as a client sends it. */
export function clientFrame(records: readonly RecordTuple[], fields: ClientFields = CLIENT): Uint8Array<ArrayBuffer> {
  const frame = encodeBody(records);
  const header: ClientHeader = {
    codec: 'none',
    recordCount: records.length,
    bodyBytes: frame.byteLength - FRAME_HEADER_BYTES,
    ...fields,
  };
  writeClientHeader(frame, header, crc);
  return frame;
}

/** A frame as a sequencer publishes it. */
export function stampedFrame(
  records: readonly RecordTuple[],
  stamp = stampOf(),
  fields = CLIENT,
): Uint8Array<ArrayBuffer> {
  const frame = clientFrame(records, fields);
  stampFrame(frame, stamp, crc);
  return frame;
}

export const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

export const RECORDS: readonly RecordTuple[] = [
  [0, bytesOf('key'), bytesOf('value')],
  [-1, null, bytesOf('no key')],
  [1_000, bytesOf('tombstone'), null],
  [70_000, null, null, ['trace', new Uint8Array([1, 2, 3]), 'trace', new Uint8Array(0)]],
];

const timestampDelta = fc.oneof(
  fc.integer({ min: -300, max: 300 }),
  fc.integer({ min: -TIMESTAMP_DELTA_MAX - 1, max: TIMESTAMP_DELTA_MAX }),
  fc.constantFrom(
    -TIMESTAMP_DELTA_MAX - 1,
    TIMESTAMP_DELTA_MAX,
    23,
    24,
    255,
    256,
    65_535,
    65_536,
    -24,
    -25,
    -256,
    -257,
  ),
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.uint8Array({ minLength: 250, maxLength: 260 }),
  fc.integer({ min: 65_534, max: 65_538 }).map((length) => new Uint8Array(length).fill(7)),
);
const smallBytes = fc.uint8Array({ maxLength: 40 });
const bytesOrNull = (of: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array | null> => fc.option(of, { nil: null });
const headerName = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({ unit: 'grapheme-ascii', minLength: 20, maxLength: 300 }),
);
const headers = fc
  .array(fc.tuple(headerName, smallBytes), { maxLength: 6 })
  .map((entries): (string | Uint8Array)[] => entries.flat());

function tupleOf(of: fc.Arbitrary<Uint8Array>): fc.Arbitrary<RecordTuple> {
  return fc.oneof(
    fc.tuple(timestampDelta, bytesOrNull(of), bytesOrNull(of)),
    fc.tuple(timestampDelta, bytesOrNull(of), bytesOrNull(of), headers),
  ) as fc.Arbitrary<RecordTuple>;
}

/** Some records, small ones mostly. */
export const recordTuples = fc.oneof(
  { weight: 9, arbitrary: fc.array(tupleOf(smallBytes), { minLength: 1, maxLength: 30 }) },
  { weight: 1, arbitrary: fc.array(tupleOf(bytes), { minLength: 1, maxLength: 3 }) },
);

/** A few small records: for tests that need many runs. */
export const fewRecords = fc.array(tupleOf(fc.uint8Array({ maxLength: 30 })), { minLength: 1, maxLength: 4 });

export const clientFields: fc.Arbitrary<ClientFields> = fc.record({
  producerId: u64,
  producerEpoch: fc.integer({ min: 0, max: 0xffff }),
  baseSequence: u32,
  baseTimestampMs: whole,
});

export const stamps: fc.Arbitrary<Stamp> = fc
  .record({
    partitionId: u32,
    epoch: u32,
    nonce: u64,
    baseOffset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 65_536 }),
    appendTimeMs: whole,
    releasedOffset: whole,
    durability: fc.constantFrom('fsync', 'memory'),
  })
  .map((stamp) => stampOf(stamp));

/** What damage does to bytes: some are replaced, removed or put in. */
export interface Damage {
  /** Place, in ten thousandths of the bytes. */
  readonly at: number;
  readonly remove: number;
  readonly insert: Uint8Array;
}
/** First bytes of CBOR items: of every type, with lengths of every width. */
const CBOR_PREFIXES = [
  0x18, 0x19, 0x1a, 0x1b, 0x1f, 0x38, 0x3a, 0x40, 0x58, 0x5f, 0x60, 0x78, 0x80, 0x84, 0x9f, 0xa0, 0xc1, 0xf6, 0xf7,
  0xfb, 0xff,
];
const replacedByte: fc.Arbitrary<Damage> = fc.record({
  at: fc.nat(9_999),
  remove: fc.constant(1),
  insert: fc.uint8Array({ minLength: 1, maxLength: 1 }),
});
const anyDamage: fc.Arbitrary<Damage> = fc.record({
  at: fc.nat(9_999),
  remove: fc.integer({ min: 0, max: 3 }),
  insert: fc.oneof(
    fc.uint8Array({ maxLength: 3 }),
    fc.constantFrom(...CBOR_PREFIXES).map((byte) => new Uint8Array([byte])),
  ),
});
export const damages: fc.Arbitrary<Damage[]> = fc.array(fc.oneof(replacedByte, anyDamage), {
  minLength: 1,
  maxLength: 3,
});

export function damaged(original: Uint8Array, damage: readonly Damage[], from = 0): Uint8Array<ArrayBuffer> {
  let result = new Uint8Array(original);
  for (const { at, remove, insert } of damage) {
    const position = Math.min(result.byteLength, from + Math.floor((at * (result.byteLength - from)) / 10_000));
    const rest = result.subarray(Math.min(result.byteLength, position + remove));
    const next = new Uint8Array(position + insert.byteLength + rest.byteLength);
    next.set(result.subarray(0, position));
    next.set(insert, position);
    next.set(rest, position + insert.byteLength);
    result = next;
  }
  return result;
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
