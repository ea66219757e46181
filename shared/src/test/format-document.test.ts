/** That docs/FORMAT.md and the code say the same: every vector in it, its tables of bytes, and its pseudo code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AppendReply,
  BODY_CRC_FROM,
  CopysetTable,
  checkFrame,
  controlFrame,
  crc32,
  decodeAppendReply,
  decodeReadMessage,
  decodeRecords,
  decodeRelease,
  decodeReply,
  decodeSealReply,
  decodeStoreAcks,
  decodeWriteBack,
  ERROR_CODES,
  encodeAppendReply,
  encodeFailure,
  encodeReadMessage,
  encodeRelease,
  encodeResult,
  encodeSealReply,
  encodeStoreAcks,
  encodeWriteBack,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  HEADER_CRC_FROM,
  hashPlacement,
  hashWords,
  LIMITS,
  murmur2,
  type Offset,
  type PartitionId,
  type Placement,
  PyralogError,
  partitionOfKey,
  type RecordTuple,
  type Release,
  readEndSchema,
  rendezvousRank,
  SEALS_MAX,
  type SealAnswer,
  type SealReply,
  type Slot,
  STORE_ACKS_MAX,
  type StorageNodeId,
  type StoreAcks,
  type WriteBack,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { z } from 'zod';
import { throwsCode } from './support/expect.ts';
import { FORMAT_DOCUMENT, readByteTables, readVectors } from './support/format-document.ts';
import { bytesOf, type ClientFields, clientFrame, crc, hex, stampedFrame, stampOf, u32 } from './support/samples.ts';

const vectors = readVectors();
const checked = new Set<string>();

function vector<T extends z.ZodType>(name: string, schema: T): z.output<T> {
  checked.add(name);
  assert.ok(vectors.has(name), `FORMAT.md has no vector ${name}`);
  return schema.parse(vectors.get(name));
}

const hexLines = z.array(z.string()).transform((lines) => lines.join('').replaceAll(' ', ''));
const hexBytes = hexLines.transform((digits) => new Uint8Array(Buffer.from(digits, 'hex')));
const u64 = z
  .string()
  .regex(/^[0-9a-f]{16}$/)
  .transform((digits) => BigInt(`0x${digits}`));
const word = z
  .string()
  .regex(/^[0-9a-f]{8}$/)
  .transform((digits) => Number.parseInt(digits, 16));
const whole = z.number().int();

const recordSchema = z.union([
  z.tuple([whole, z.string().nullable(), z.string().nullable()]),
  z.tuple([whole, z.string().nullable(), z.string().nullable(), z.array(z.string())]),
]);
const clientSchema = z.object({ producerId: u64, producerEpoch: whole, baseSequence: whole, baseTimestampMs: whole });
const stampSchema = z.object({
  partitionId: whole,
  epoch: whole,
  nonce: u64,
  baseOffset: whole,
  appendTimeMs: whole,
  releasedOffset: whole,
});

const bytesOrNull = (text: string | null): Uint8Array | null => (text === null ? null : bytesOf(text));

function bodyVector(): { tuples: RecordTuple[]; hex: string } {
  const body = vector('body', z.object({ records: z.array(recordSchema), hex: hexLines }));
  const tuples = body.records.map(([delta, key, value, headers]): RecordTuple => {
    const record = [delta, bytesOrNull(key), bytesOrNull(value)] as const;
    if (headers === undefined) return [...record];
    return [...record, headers.map((item, index) => (index % 2 === 0 ? item : bytesOf(item)))];
  });
  return { tuples, hex: body.hex };
}

const clientVector = (): ClientFields & { header: string } =>
  vector('client-frame', clientSchema.extend({ header: hexLines }));
const stampVector = () =>
  vector('stamped-frame', stampSchema.extend({ durability: z.enum(['fsync', 'memory']), header: hexLines }));

/** The frame of the vectors, stamped. */
function frameOfVectors(): Uint8Array<ArrayBuffer> {
  return stampedFrame(bodyVector().tuples, stampOf(stampVector()), clientVector());
}

test('the checksum is the one of the document', () => {
  for (const [text, expected] of vector('crc32', z.array(z.tuple([z.string(), word])))) {
    assert.equal(crc32(bytesOf(text)), expected);
    assert.equal(crc(bytesOf(text)), expected);
  }
});

test('a body and a frame, sent and stamped, are those of the document', () => {
  const body = bodyVector();
  const sent = clientFrame(body.tuples, clientVector());
  assert.equal(hex(sent), clientVector().header + body.hex);
  const frame = frameOfVectors();
  assert.equal(hex(frame), stampVector().header + body.hex);
  const header = checkFrame(frame, crc);
  const { header: _, ...stamp } = stampVector();
  assert.deepEqual({ ...header, ...stamp }, header);
  const keys = decodeRecords(frame, header).map(({ key }) => (key === undefined ? null : Buffer.from(key).toString()));
  assert.deepEqual(
    keys,
    body.tuples.map(([, key]) => (key === null ? null : Buffer.from(key).toString())),
  );
});

test('every field of a frame is where the table of the document says', () => {
  const frame = frameOfVectors();
  const { tuples } = bodyVector();
  const client = clientVector();
  const stamp = stampVector();
  const values: Record<string, bigint> = {
    magic: BigInt(FRAME_MAGIC),
    'header checksum': BigInt(crc(frame.subarray(HEADER_CRC_FROM, FRAME_HEADER_BYTES))),
    'partition id': BigInt(stamp.partitionId),
    epoch: BigInt(stamp.epoch),
    nonce: stamp.nonce,
    'base offset': BigInt(stamp.baseOffset),
    'append time': BigInt(stamp.appendTimeMs),
    'released offset': BigInt(stamp.releasedOffset),
    'stamp flags': stamp.durability === 'memory' ? 1n : 0n,
    'body checksum': BigInt(crc(frame.subarray(BODY_CRC_FROM))),
    version: 1n,
    kind: 1n,
    flags: 0n,
    'frame length': BigInt(frame.byteLength),
    'record count': BigInt(tuples.length),
    'base sequence': BigInt(client.baseSequence),
    'producer id': client.producerId,
    'base timestamp': BigInt(client.baseTimestampMs),
    'producer epoch': BigInt(client.producerEpoch),
    zero: 0n,
    'body length': BigInt(frame.byteLength - FRAME_HEADER_BYTES),
  };
  const table = readByteTables()[0] ?? [];
  assert.deepEqual(
    table.map(({ field }) => field),
    Object.keys(values),
  );
  for (const { at, size, field } of table) {
    const found = frame.subarray(at, at + size).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
    assert.equal(found, values[field], field);
  }
});

test('the tables of bytes have no gap', () => {
  const tables = readByteTables();
  assert.ok(tables.length >= 9);
  for (const table of tables) {
    let end = 0;
    for (const { at, size, field } of table) {
      assert.equal(at, end, field);
      end = at + size;
    }
  }
  assert.equal(
    (tables[0] ?? []).reduce((sum, { size }) => sum + size, 0),
    FRAME_HEADER_BYTES,
  );
});

test('a commit mark and a seal are those of the document', () => {
  const mark = vector(
    'commit-mark',
    z.object({ segmentNonce: u64, position: whole, writtenAtMs: whole, hex: hexLines }),
  );
  const { segmentNonce, position, writtenAtMs } = mark;
  const place = {
    partitionId: 0,
    epoch: 0,
    nonce: segmentNonce,
    baseOffset: position,
    appendTimeMs: writtenAtMs,
    releasedOffset: 0,
  };
  assert.equal(hex(controlFrame('commit', stampOf(place), crc)), mark.hex);
  const { hex: expected, ...seal } = vector('seal', stampSchema.extend({ hex: hexLines }));
  assert.equal(hex(controlFrame('seal', stampOf(seal), crc)), expected);
});

test('an append reply and a release are those of the document', () => {
  const { hex: replyHex, ...reply } = vector(
    'append-reply',
    z.object({ epoch: whole, baseOffset: whole, appendTimeMs: whole, hex: hexLines }),
  );
  const encoded = encodeAppendReply(reply as unknown as AppendReply);
  assert.equal(hex(encoded), replyHex);
  assert.deepEqual(decodeAppendReply(encoded), reply);
  const { hex: releaseHex, ...release } = vector(
    'release',
    z.object({ epoch: whole, nonce: u64, releasedOffset: whole, hex: hexLines }),
  );
  const bytes = encodeRelease(release as unknown as Release);
  assert.equal(hex(bytes), releaseHex);
  assert.deepEqual(decodeRelease(bytes), release);
});

test('store acknowledgements are those of the document', () => {
  const ack = z.object({
    partitionId: whole,
    epoch: whole,
    nonce: u64,
    baseOffset: whole,
    verdict: z.string(),
    sealedEpoch: whole,
  });
  const { hex: acksHex, ...expected } = vector(
    'store-acks',
    z.object({ nodeId: z.string(), incarnation: z.string(), acks: z.array(ack), hex: hexLines }),
  );
  const bytes = encodeStoreAcks(expected as unknown as StoreAcks);
  assert.equal(hex(bytes), acksHex);
  assert.deepEqual(decodeStoreAcks(bytes), expected);
});

test('a seal reply is that of the document', () => {
  const answer = z.object({
    partitionId: whole,
    sealed: z.boolean(),
    sealedEpoch: whole,
    releasedOffset: whole,
    foreign: z.boolean(),
    mayHaveLost: z.boolean(),
    complete: z.boolean(),
    headers: z.array(z.literal('stamped-frame')),
  });
  const expected = vector(
    'seal-reply',
    z.object({ nodeId: z.string(), incarnation: z.string(), answers: z.array(answer), hex: hexLines }),
  );
  const header = frameOfVectors().slice(0, FRAME_HEADER_BYTES);
  const answers = expected.answers.map((each) => ({ ...each, headers: each.headers.map(() => header) }));
  const reply = {
    nodeId: expected.nodeId,
    incarnation: expected.incarnation,
    answers: answers as unknown as SealAnswer[],
  };
  const bytes = encodeSealReply(reply as unknown as SealReply);
  assert.equal(hex(bytes), expected.hex);
  assert.deepEqual(decodeSealReply(bytes), reply);
});

test('a write-back is that of the document', () => {
  const schema = z.object({ ballot: whole, frame: z.literal('stamped-frame'), prefix: z.string() });
  const { ballot, prefix } = vector('write-back', schema);
  const writeBack = { ballot, frame: frameOfVectors() } as unknown as WriteBack;
  assert.equal(hex(encodeWriteBack(writeBack)), prefix + hex(writeBack.frame));
  assert.deepEqual(decodeWriteBack(encodeWriteBack(writeBack)), writeBack);
});

test('the messages of a read are those of the document', () => {
  const frames = z.object({
    kind: z.literal('frames'),
    sequence: whole,
    frames: z.array(z.literal('stamped-frame')),
    prefix: z.string(),
  });
  const end = z.object({ kind: z.literal('end'), sequence: whole, result: readEndSchema, hex: hexBytes });
  const [first, last] = vector('read-message', z.tuple([frames, end]));
  const frame = frameOfVectors();
  assert.equal(hex(encodeReadMessage('frames', first.sequence, [frame])), first.prefix + hex(frame));
  assert.deepEqual(encodeReadMessage('end', last.sequence, [encodeResult(last.result)]), last.hex);
  const decoded = decodeReadMessage(last.hex);
  assert.deepEqual([decoded.kind, decoded.sequence], ['end', last.sequence]);
  assert.deepEqual(decodeReply(readEndSchema, decoded.bytes), last.result);
});

test('a failure is that of the document, and its codes are all there are', () => {
  const failure = vector('failure', z.unknown());
  const error = throwsCode(() => decodeReply(z.never(), bytesOf(JSON.stringify(failure))), 'invalid');
  assert.deepEqual(JSON.parse(Buffer.from(encodeFailure(error)).toString()), failure);
  const [, listed = ''] = FORMAT_DOCUMENT.match(/`code` is one of ([^.]*)\./) ?? [];
  assert.deepEqual(
    [...listed.matchAll(/`([a-z-]+)`/g)].map(([, code]) => code),
    [...ERROR_CODES],
  );
  assert.ok(error instanceof PyralogError);
});

test('the hashes are those of the document', () => {
  const cases = z.array(z.tuple([z.array(whole), word]));
  const expected = vector('hashes', z.object({ hashWords: cases, hashPlacement: cases }));
  for (const [words, hash] of expected.hashWords) assert.equal(hashWords(...words), hash);
  for (const [[seed = 0, partitionId = 0, offset = 0], hash] of expected.hashPlacement) {
    assert.equal(hashPlacement(seed, partitionId, offset), hash);
  }
  const keys = z.array(z.object({ key: z.string(), murmur2: word, of16: whole, of1000: whole }));
  for (const { key, murmur2: hash, of16, of1000 } of vector('keys', keys)) {
    assert.equal(murmur2(bytesOf(key)), hash);
    assert.deepEqual([partitionOfKey(bytesOf(key), 16), partitionOfKey(bytesOf(key), 1_000)], [of16, of1000]);
  }
});

test('the ranks are those of the document', () => {
  for (const [partitionId, expected] of vector('rank', z.array(z.tuple([whole, z.array(z.string())])))) {
    const rank = rendezvousRank(hashWords(partitionId), [...expected].sort(), (id) => murmur2(bytesOf(id)));
    assert.deepEqual(rank, expected);
  }
});

function slotsOf(zones: readonly (string | null)[]): Slot[] {
  return zones.map((zone, index) => ({ nodeId: `n${index}` as StorageNodeId, zone: zone ?? undefined }));
}

const shape = { seed: whole, replicationFactor: whole, scatterWidth: whole };
const tableSchema = z.object({ ...shape, zones: z.array(z.string().nullable()), rows: z.array(z.array(whole)) });

test('the tables of copysets are those of the document', () => {
  for (const name of ['table', 'zoned-table']) {
    const { zones, rows, ...rest } = vector(name, tableSchema);
    const placement: Placement = { strategy: 'per-record', ...rest, slots: slotsOf(zones) };
    assert.deepEqual(new CopysetTable(placement).rows, rows);
    assert.deepEqual(tableByTheDocument(placement), rows);
  }
});

test('the copysets of batches are those of the document', () => {
  const row = z.array(whole);
  const schema = z.object({
    ...shape,
    slots: whole,
    rows: whole,
    perRecord: z.array(z.tuple([whole, whole, row])),
    perPartition: z.array(z.tuple([whole, row])),
  });
  const { slots, rows, perRecord, perPartition, ...rest } = vector('copysets', schema);
  const placement = { ...rest, slots: slotsOf(new Array<null>(slots).fill(null)) };
  const table = new CopysetTable({ strategy: 'per-record', ...placement });
  assert.equal(table.rows.length, rows);
  for (const [partitionId, offset, expected] of perRecord) {
    assert.deepEqual(table.copyset(partitionId as PartitionId, offset as Offset), expected);
  }
  const fixed = new CopysetTable({ strategy: 'per-partition', ...placement });
  for (const [partitionId, expected] of perPartition) {
    for (const offset of [0, 12_345])
      assert.deepEqual(fixed.copyset(partitionId as PartitionId, offset as Offset), expected);
  }
});

/** The pseudo code of the document, line by line, in big numbers where it computes exactly. */
function tableByTheDocument({ seed, replicationFactor, scatterWidth, slots }: Placement): number[][] {
  const fmix32 = (value: bigint): bigint => {
    const mask = 0xffff_ffffn;
    let h = value & mask;
    h = ((h ^ (h >> 16n)) * 0x85eb_ca6bn) & mask;
    h = ((h ^ (h >> 13n)) * 0xc2b2_ae35n) & mask;
    return h ^ (h >> 16n);
  };
  const hash = (...words: number[]): bigint => words.reduce((h, w) => fmix32(h * 31n + BigInt(w) + 0x9e37_79b9n), 0n);
  const shuffle = (items: number[], wordOf: (index: number) => bigint): void => {
    for (let i = items.length - 1; i >= 1; i--) {
      const j = Number((wordOf(i) * BigInt(i + 1)) >> 32n);
      const [a = 0, b = 0] = [items[i], items[j]];
      items[i] = b;
      items[j] = a;
    }
  };
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  const names = slots.map((slot, index) => slot.zone ?? index);
  const zones = [...new Set(names)].map((name) => ({
    slots: names.flatMap((each, index) => (each === name ? [index] : [])),
    next: 0,
    round: 0,
    uses: 0,
  }));
  const take = (number: number, group: number[]): number => {
    const zone = zones[number];
    assert.ok(zone !== undefined);
    if (zone.next === 0) shuffle(zone.slots, (index) => hash(seed, number, zone.round, index));
    const found = zone.slots.findIndex((slot, index) => index >= zone.next && !group.includes(slot));
    const [slot = 0, other = 0] = [zone.slots[found], zone.slots[zone.next]];
    zone.slots[found] = other;
    zone.slots[zone.next] = slot;
    zone.next++;
    zone.uses++;
    if (zone.next === zone.slots.length) {
      zone.next = 0;
      zone.round++;
    }
    return slot;
  };
  const permutations = replicationFactor === 1 ? 1 : Math.max(1, Math.ceil(scatterWidth / (replicationFactor - 1)));
  const rows: number[][] = [];
  for (let p = 0; p < permutations; p++) {
    const order = zones.map((_, index) => index);
    shuffle(order, (index) => hash(seed, p, index));
    for (let g = 0; g < slots.length / gcd(slots.length, replicationFactor); g++) {
      const group: number[] = [];
      while (group.length < replicationFactor) {
        const keyOf = (number: number): [number, number, number] => {
          const zone = zones[number];
          assert.ok(zone !== undefined);
          const inGroup = zone.slots.filter((slot) => group.includes(slot)).length;
          return [inGroup, zone.uses / zone.slots.length, order.indexOf(number)];
        };
        const candidates = order.filter((number) => zones[number]?.slots.some((slot) => !group.includes(slot)));
        candidates.sort((a, b) => {
          const [left, right] = [keyOf(a), keyOf(b)];
          return left[0] - right[0] || left[1] - right[1] || left[2] - right[2];
        });
        group.push(take(candidates[0] ?? 0, group));
      }
      for (let r = 0; r < replicationFactor; r++) rows.push([...group.slice(r), ...group.slice(0, r)]);
    }
  }
  return rows;
}

test('the pseudo code of the document makes the tables that the code makes', () => {
  const zoneNames = fc.array(fc.option(fc.constantFrom('a', 'b', 'c', 'd'), { nil: null, freq: 4 }), {
    minLength: 7,
    maxLength: 16,
  });
  const small = fc.integer({ min: 1, max: LIMITS.replicationFactorMax });
  fc.assert(
    fc.property(
      zoneNames,
      small,
      fc.integer({ min: 1, max: 20 }),
      u32,
      fc.boolean(),
      (zones, replicationFactor, scatterWidth, seed, zoned) => {
        const slots = slotsOf(zoned ? zones : zones.map(() => null));
        const placement: Placement = { strategy: 'per-record', seed, replicationFactor, scatterWidth, slots };
        assert.deepEqual(tableByTheDocument(placement), new CopysetTable(placement).rows);
      },
    ),
    { numRuns: 100 },
  );
});

test('the limits of the document are those of the code', () => {
  const grouped = (value: number): string => value.toLocaleString('en-US');
  const facts = [
    `bytes; 96 to ${LIMITS.frameBytesMax / 2 ** 20} MiB`,
    `1 to ${grouped(LIMITS.batchRecordsMax)}; 0 unless kind 1`,
    `at most ${LIMITS.recordHeadersMax} pairs`,
    `A record is at most ${LIMITS.recordBytesMax / 2 ** 20} MiB encoded`,
    `number of entries, at most ${grouped(STORE_ACKS_MAX)}`,
    `number of entries, at most ${SEALS_MAX}`,
    `at most ${LIMITS.controlMessageBytesMax / 1_024} KiB`,
  ];
  for (const fact of facts) assert.ok(FORMAT_DOCUMENT.includes(fact), fact);
});

test('every vector of the document is checked, those of segment files by the storage node', () => {
  assert.deepEqual(
    [...vectors.keys()].filter((name) => !checked.has(name)),
    ['segment-header'],
  );
});
