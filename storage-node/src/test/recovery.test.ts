/** Seals, fetches and write-backs: what a sequencer that takes over may rely on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkFrameHeader,
  decodeFetchReply,
  decodeSealReply,
  decodeStoreAcks,
  type Epoch,
  encodeMessage,
  encodeWriteBack,
  type Message,
  PyralogError,
  type SealReply,
  type StoreAck,
} from '@pyralog/shared/core';
import { nativeCrc32 } from '@pyralog/shared/node';
import fc from 'fast-check';
import { FrameReader } from '../core/read/frame-reader.ts';
import { HeaderReader } from '../core/recovery/header-reader.ts';
import { Seals } from '../core/recovery/seals.ts';
import { TailRepair } from '../core/recovery/tail-repair.ts';
import { batch } from './support/frames.ts';
import { looseClock, settle } from './support/loose-clock.ts';
import { MemoryDisk } from './support/memory-disk.ts';
import { MemoryIndex } from './support/memory-index.ts';
import { INCARNATION, NODE, TestStore, type TestStoreOptions } from './support/test-store.ts';

class RecoveredNode {
  readonly store: TestStore;
  readonly #seals: Seals;
  readonly #repair: TailRepair;

  private constructor(store: TestStore) {
    this.store = store;
    const { segments, recent, gates, directory, writer } = store.store;
    const { transport, counters, warnings } = store;
    const shared = {
      nodeId: NODE,
      incarnation: INCARNATION,
      gates,
      directory,
      writer,
      crc32: nativeCrc32,
      warnings,
      transport,
    };
    const headers = new HeaderReader({ segments, recent, crc32: nativeCrc32 });
    this.#seals = new Seals({
      ...shared,
      hasLost: store.store.hasLost,
      headers,
      clock: looseClock,
    });
    const frames = new FrameReader({ segments, recent, directory, counters, warnings, crc32: nativeCrc32 });
    this.#repair = new TailRepair({ ...shared, frames });
  }

  static async open(options: TestStoreOptions = {}): Promise<RecoveredNode> {
    return new RecoveredNode(await TestStore.open(options));
  }

  async #ask(payload: Uint8Array, handle: (message: Message) => void): Promise<Uint8Array> {
    const inbox = this.store.transport.createInbox();
    return new Promise((resolve) => {
      this.store.transport.subscribe(inbox, ({ payload: reply }) => resolve(reply));
      handle({ subject: 'recovery', payload, replyTo: inbox });
    });
  }

  async seal(changes: Record<string, number | string> = {}): Promise<SealReply> {
    const seal = { partitionId: 1, ballot: 2, epoch: 1, nonce: '000000000000000b', from: 0, knownEpoch: 1, ...changes };
    return decodeSealReply(
      await this.#ask(encodeMessage({ seals: [seal] }), (message) => this.#seals.receive(message)),
    );
  }

  /** Base offsets of the headers that a seal is answered with. */
  async tail(changes: Record<string, number | string> = {}): Promise<number[]> {
    const [answer] = (await this.seal(changes)).answers;
    return answer?.headers.map((header) => checkFrameHeader(header, nativeCrc32).baseOffset) ?? [];
  }

  async writeBack(frame: Uint8Array, ballot: number): Promise<StoreAck | undefined> {
    const payload = encodeWriteBack({ ballot: ballot as Epoch, frame });
    return decodeStoreAcks(await this.#ask(payload, (message) => this.#repair.writeBack(message))).acks[0];
  }

  async fetch(baseOffset: number, epoch = 1): Promise<Uint8Array> {
    const request = encodeMessage({ partitionId: 1, epoch, baseOffset });
    return decodeFetchReply(await this.#ask(request, (message) => this.#repair.fetch(message)));
  }

  /** Hands arbitrary bytes to every handler. */
  throwAt(payload: Uint8Array): void {
    const message = { subject: 'recovery', payload, replyTo: '_INBOX.0' };
    this.#seals.receive(message);
    this.#repair.fetch(message);
    this.#repair.writeBack(message);
  }
}

test('a sealed epoch refuses a store, and the sealed node tells what it has', async () => {
  const node = await RecoveredNode.open();
  await node.store.save(
    batch({ baseOffset: 0, recordCount: 2, releasedOffset: 0 }),
    batch({ baseOffset: 2, releasedOffset: 2 }),
  );
  const { nodeId, incarnation, answers } = await node.seal();
  assert.deepEqual([nodeId, incarnation], [NODE, INCARNATION]);
  const [answer] = answers;
  assert.deepEqual(
    [answer?.sealed, answer?.sealedEpoch, answer?.releasedOffset, answer?.complete, answer?.foreign],
    [true, 2, 2, true, false],
  );
  assert.equal(answer?.headers.length, 2);
  await node.store.save(batch({ baseOffset: 3 }));
  assert.equal(node.store.transport.verdicts.at(-1), '1:3=fenced');
  assert.deepEqual(node.store.offsets(), [0, 2]);
});

test('a seal is durable before it is answered: it holds after a crash', async () => {
  const disk = new MemoryDisk();
  const node = await RecoveredNode.open({ disk });
  await node.store.save(batch());
  await node.seal({ ballot: 5 });
  const again = await RecoveredNode.open({ disk: disk.afterCrash('power'), index: new MemoryIndex() });
  await again.store.save(batch({ baseOffset: 1 }));
  assert.equal(again.store.transport.verdicts.at(-1), '1:1=fenced');
  assert.deepEqual(await again.tail({ ballot: 6 }), [0]);
});

test('what was queued before the seal is in its answer, or refused', async () => {
  const node = await RecoveredNode.open();
  for (let offset = 0; offset < 50; offset++) node.store.receive(batch({ baseOffset: offset }));
  const tail = await node.tail();
  await settle(2);
  const stored = node.store.transport.acks
    .filter(({ verdict }) => verdict === 'stored')
    .map(({ baseOffset }) => baseOffset);
  assert.deepEqual(tail, stored);
  assert.equal(node.store.transport.acks.length, 50);
});

test('a lower ballot is refused by the name of the higher one', async () => {
  const node = await RecoveredNode.open();
  await node.seal({ ballot: 7 });
  const [answer] = (await node.seal({ ballot: 6 })).answers;
  assert.deepEqual([answer?.sealed, answer?.sealedEpoch], [false, 7]);
  const [same] = (await node.seal({ ballot: 7 })).answers;
  assert.equal(same?.sealed, true, 'a seal may be repeated');
});

test('a ballot under which an epoch has begun is refused', async () => {
  const node = await RecoveredNode.open();
  await node.store.save(batch({ epoch: 2, nonce: 22n }));
  const [answer] = (await node.seal({ ballot: 2 })).answers;
  assert.equal(answer?.sealed, false);
});

test('the answer begins where it is asked to, and goes on from there when it is long', async () => {
  const node = await RecoveredNode.open();
  await node.store.save(...Array.from({ length: 6_500 }, (_, offset) => batch({ baseOffset: offset, bodyBytes: 1 })));
  assert.deepEqual(await node.tail({ from: 6_498 }), [6_498, 6_499]);
  const [first] = (await node.seal()).answers;
  assert.equal(first?.complete, false);
  const next = first?.headers.length ?? 0;
  const [rest] = (await node.seal({ from: next })).answers;
  assert.equal(rest?.complete, true);
  assert.equal(next + (rest?.headers.length ?? 0), 6_500);
});

test('batches of a reign that the metadata does not know are reported', async () => {
  const later = await RecoveredNode.open();
  await later.store.save(batch(), batch({ epoch: 3, nonce: 33n, baseOffset: 1 }));
  assert.equal((await later.seal({ ballot: 4, knownEpoch: 1 })).answers[0]?.foreign, true);
  assert.equal((await later.seal({ ballot: 4, knownEpoch: 3 })).answers[0]?.foreign, false);
  const other = await RecoveredNode.open();
  await other.store.save(batch({ nonce: 99n }));
  const [answer] = (await other.seal()).answers;
  assert.deepEqual([answer?.foreign, answer?.headers.length], [true, 0]);
});

test('a damaged batch is neither told nor denied: the node does not answer for the partition', async () => {
  const disk = new MemoryDisk();
  const node = await RecoveredNode.open({ disk });
  await node.store.save(batch());
  const [location] = node.store.store.directory.range({
    partitionId: 1 as never,
    epoch: 1 as never,
    from: 0 as never,
    until: 10 as never,
    limit: 1,
  });
  assert.ok(location !== undefined);
  const content = disk.files.get(location.segmentId)?.content ?? new Uint8Array(0);
  content[location.position + 30] = (content[location.position + 30] ?? 0) ^ 1;
  assert.deepEqual((await node.seal()).answers, []);
});

test('a node that has found synced data damaged says for ever that it may have lost batches', async () => {
  let disk = new MemoryDisk();
  const index = new MemoryIndex();
  const node = await RecoveredNode.open({ disk, index });
  await node.store.save(batch());
  await node.store.save(batch({ baseOffset: 1 }));
  assert.equal((await node.seal()).answers[0]?.mayHaveLost, false);
  disk = disk.afterCrash();
  const content = disk.files.get(1)?.content ?? new Uint8Array(0);
  content[64 + 96 + 20] = (content[64 + 96 + 20] ?? 0) ^ 1;
  for (let start = 0; start < 3; start++) {
    const again = await RecoveredNode.open({ disk, index });
    const [answer] = (await again.seal({ ballot: 3 + start })).answers;
    assert.equal(answer?.mayHaveLost, true, `start ${start}`);
    assert.equal(answer?.headers.length, 1);
    await again.store.store.close();
    disk = disk.afterCrash('power');
  }
});

test('a node that misses a segment says that it may have lost batches', async () => {
  const disk = new MemoryDisk();
  const index = new MemoryIndex();
  const node = await RecoveredNode.open({ disk, index });
  await node.store.save(batch());
  await node.store.store.close();
  await disk.remove(1);
  const again = await RecoveredNode.open({ disk, index: index });
  assert.equal((await again.seal()).answers[0]?.mayHaveLost, true);
});

test('a batch of the sealed epoch is written back under the ballot of the seal, once, and is durable', async () => {
  const disk = new MemoryDisk();
  const node = await RecoveredNode.open({ disk });
  await node.seal({ ballot: 4 });
  const frame = batch({ baseOffset: 9 });
  assert.equal((await node.writeBack(frame, 4))?.verdict, 'stored');
  assert.equal((await node.writeBack(frame, 4))?.verdict, 'stored');
  assert.equal(node.store.counters.storedBatches, 1);
  const again = await RecoveredNode.open({ disk: disk.afterCrash('power'), index: new MemoryIndex() });
  assert.deepEqual(await again.tail({ ballot: 5 }), [9]);
});

test('a write-back below the seal is refused', async () => {
  const node = await RecoveredNode.open();
  await node.seal({ ballot: 9 });
  const ack = await node.writeBack(batch(), 8);
  assert.deepEqual([ack?.verdict, ack?.sealedEpoch], ['fenced', 9]);
  assert.deepEqual(node.store.offsets(), []);
});

test('a fetch gives the frame as it was stored, or says that it is not here', async () => {
  const node = await RecoveredNode.open();
  const frame = batch({ baseOffset: 4, recordCount: 3 });
  await node.store.save(frame);
  assert.deepEqual(Buffer.from(await node.fetch(4)), Buffer.from(frame));
  for (const offset of [0, 5, 7]) {
    await assert.rejects(node.fetch(offset), (error) => error instanceof PyralogError && error.code === 'unavailable');
  }
});

test('no bytes that are sent instead of a request stop the node', async () => {
  const node = await RecoveredNode.open();
  await node.store.save(batch());
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.json().map((json) => Buffer.from(json)),
      ),
      (bytes) => {
        node.throwAt(bytes);
      },
    ),
    { numRuns: 500 },
  );
  await settle(5);
  assert.deepEqual(node.store.fatal, []);
  assert.deepEqual(await node.tail(), [0]);
});
