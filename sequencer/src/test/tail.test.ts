import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CopysetTable,
  crc32,
  FRAME_HEADER_BYTES,
  type Fragment,
  type Incarnation,
  type Nonce,
  type Offset,
  type StorageNodeId,
  stampFrame,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import type { NodeSealed } from '../core/recovery/sealer.ts';
import { Tail } from '../core/recovery/tail.ts';
import { batch, fragment, NODES, NONCE, PARTITION } from './ports.ts';

const INCARNATION = '0000000000000001' as Incarnation;

function header(offset: number, changes: { records?: number; released?: number; nonce?: bigint } = {}): Uint8Array {
  const frame = batch({ records: changes.records ?? 1 });
  stampFrame(
    frame,
    {
      partitionId: PARTITION,
      epoch: fragment().epoch,
      nonce: (changes.nonce ?? NONCE) as Nonce,
      baseOffset: offset as Offset,
      appendTimeMs: 5,
      releasedOffset: (changes.released ?? 100) as Offset,
      durability: 'fsync',
    },
    crc32,
  );
  return frame.slice(0, FRAME_HEADER_BYTES);
}

function sealed(
  nodeId: string,
  headers: Uint8Array[],
  changes: { released?: number; incarnation?: Incarnation; complete?: boolean; mayHaveLost?: boolean } = {},
): NodeSealed {
  return {
    nodeId: nodeId as StorageNodeId,
    incarnation: changes.incarnation ?? INCARNATION,
    answer: {
      partitionId: PARTITION,
      sealed: true,
      sealedEpoch: 4 as never,
      releasedOffset: (changes.released ?? 100) as Offset,
      foreign: false,
      mayHaveLost: changes.mayHaveLost ?? false,
      complete: changes.complete ?? true,
      headers,
    },
  };
}

const FROM = 100 as Offset;
const slotOf = (nodeId: string): number => NODES.indexOf(nodeId as StorageNodeId);
const table = new CopysetTable(fragment());
const members = (offset: number): StorageNodeId[] => table.nodeIds(table.copyset(PARTITION, offset as Offset));

describe('the walk over a tail', () => {
  it('decides nothing before enough members have answered, and names the others', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const walk = tail.walk(FROM);
    assert.ok(walk.kind === 'undecided');
    assert.deepEqual(walk.blockedBy, members(100));
  });

  it('ends where RF-W+1 members never had the batch', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const [first = '', second = '', third = ''] = members(100);
    tail.add(slotOf(first), FROM, sealed(first, []));
    const walk = tail.walk(FROM);
    assert.ok(walk.kind === 'undecided');
    assert.deepEqual(walk.blockedBy, [second, third]);
    tail.add(slotOf(second), FROM, sealed(second, []));
    const ended = tail.walk(FROM);
    assert.ok(ended.kind === 'ends');
    assert.equal(ended.end, 100);
  });

  it('keeps a batch that a single member has', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const holder = members(100)[1] ?? '';
    for (const node of NODES)
      tail.add(slotOf(node), FROM, sealed(node, node === holder ? [header(100, { records: 3 })] : []));
    const walk = tail.walk(FROM);
    assert.ok(walk.kind === 'ends');
    assert.equal(walk.end, 103);
    assert.deepEqual(
      walk.kept.map(({ holders }) => holders),
      [0b010],
    );
  });

  it('does not count the denial of a node that lost its data', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const [first = '', second = '', third = ''] = members(100);
    tail.add(slotOf(first), FROM, sealed(first, []));
    tail.add(slotOf(second), FROM, sealed(second, [], { incarnation: '00000000000000ff' as Incarnation }));
    const walk = tail.walk(FROM);
    assert.ok(walk.kind === 'undecided');
    assert.deepEqual(walk.blockedBy, [second, third]);
  });

  it('does not count the denial of a node that may have lost the batch', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const [first = '', second = ''] = members(100);
    tail.add(slotOf(first), FROM, sealed(first, [], { mayHaveLost: true }));
    tail.add(slotOf(second), FROM, sealed(second, []));
    assert.equal(tail.walk(FROM).kind, 'undecided');
  });

  it('keeps what a node that lost its data has nevertheless', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const [first = ''] = members(100);
    for (const node of NODES) {
      const lost = node === first;
      const incarnation = lost ? ('00000000000000ff' as Incarnation) : INCARNATION;
      tail.add(slotOf(node), FROM, sealed(node, lost ? [header(100)] : [], { incarnation }));
    }
    const walk = tail.walk(FROM);
    assert.ok(walk.kind === 'ends');
    assert.equal(walk.end, 101);
  });

  it('begins writing back at the highest released offset, which a header may report', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    for (const node of NODES) {
      const held = [100, 101, 102].filter((offset) => members(offset).includes(node));
      tail.add(
        slotOf(node),
        FROM,
        sealed(
          node,
          held.map((offset) => header(offset, { released: offset === 102 ? 102 : 100 })),
        ),
      );
    }
    const walk = tail.walk(FROM);
    assert.ok(walk.kind === 'ends');
    assert.equal(walk.end, 103);
    assert.deepEqual(
      walk.kept.map((kept) => kept.header.baseOffset),
      [102],
    );
    assert.deepEqual(
      walk.headers.map(({ baseOffset }) => baseOffset),
      [100, 101, 102],
    );
  });

  it('waits for members that may know a released batch, because its producers must be remembered', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const [first = '', second = '', third = ''] = members(100);
    const outsider = NODES.find((node) => ![first, second, third].includes(node)) ?? '';
    tail.add(slotOf(outsider), FROM, sealed(outsider, [], { released: 101 }));
    tail.add(slotOf(first), FROM, sealed(first, []));
    const walk = tail.walk(FROM);
    assert.ok(walk.kind === 'undecided');
    tail.add(slotOf(second), FROM, sealed(second, [header(100)]));
    const decided = tail.walk(FROM);
    assert.equal(decided.kind === 'ends' ? decided.end : decided.at, 101, 'goes on past the released batch');
  });

  it('discards what lies past the end', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    for (const node of NODES) {
      tail.add(slotOf(node), FROM, sealed(node, members(105).includes(node) ? [header(105)] : []));
    }
    const walk = tail.walk(FROM);
    assert.ok(walk.kind === 'ends');
    assert.equal(walk.end, 100);
    assert.deepEqual(walk.kept, []);
  });

  it('asks a node on from the end of the last header when it has more', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const node = members(100)[0] ?? '';
    assert.equal(tail.add(slotOf(node), FROM, sealed(node, [header(100, { records: 7 })], { complete: false })), 107);
    const on = 107 as Offset;
    assert.equal(
      tail.add(slotOf(node), on, sealed(node, [], { complete: false })),
      107,
      'an answer without room says nothing',
    );
    assert.equal(tail.add(slotOf(node), on, sealed(node, [])), undefined);
  });

  it('refuses headers of another reign', () => {
    const tail = new Tail(PARTITION, fragment(), crc32);
    const node = members(100)[0] ?? '';
    assert.throws(() => tail.add(slotOf(node), FROM, sealed(node, [header(100, { nonce: 1n })])), { code: 'corrupt' });
  });

  it('never ends before a batch with W copies, whoever answers, and whoever does not', () => {
    const property = fc.property(
      fc.array(fc.record({ copies: fc.integer({ min: 0, max: 7 }), records: fc.integer({ min: 1, max: 4 }) }), {
        maxLength: 12,
      }),
      fc.integer({ min: 0, max: 15 }),
      fc.integer({ min: 0, max: 15 }),
      (batches, silent, wiped) => {
        const held = new Map<string, Uint8Array[]>(NODES.map((node) => [node, []]));
        let offset = 100;
        let acknowledgedEnd = 100;
        let contiguous = true;
        for (const { copies, records } of batches) {
          const copyset = members(offset);
          const holders = copyset.filter((_, member) => (copies & (1 << member)) !== 0);
          for (const node of holders) held.get(node)?.push(header(offset, { records }));
          offset += records;
          contiguous &&= holders.length >= 2;
          if (contiguous) acknowledgedEnd = offset;
        }
        // At most one node is wiped: fewer than W copies of anything are destroyed.
        const lost = NODES[wiped];
        const tail = new Tail(PARTITION, fragment() satisfies Fragment, crc32);
        for (const [slot, node] of NODES.entries()) {
          if ((silent & (1 << slot)) !== 0) continue;
          const isLost = node === lost;
          const incarnation = isLost ? ('00000000000000ff' as Incarnation) : INCARNATION;
          tail.add(slot, FROM, sealed(node, isLost ? [] : (held.get(node) ?? []), { incarnation }));
        }
        const walk = tail.walk(FROM);
        if (walk.kind === 'ends')
          assert.ok(walk.end >= acknowledgedEnd, `ends at ${walk.end}, acknowledged to ${acknowledgedEnd}`);
        else assert.ok(silent !== 0 || lost !== undefined, 'undecided although everybody answered');
      },
    );
    fc.assert(property, { numRuns: 3_000 });
  });
});
