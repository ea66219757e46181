/**
 * Reads one batch from whichever node has it, asking the members of its copyset one by one. A member that is asked with all
 * others excluded sends whatever copy it has.
 *
 * When nobody has it, it is asked for again, with growing delays and for as long as the reader runs: a batch below the
 * released offset exists, so a node that has it is down, or has lost it. It is never skipped.
 */
import type { Offset, StorageNodeId } from '@pyralog/shared/core';
import { Backoff } from '../backoff.ts';
import type { Closing } from '../closing.ts';
import { SETTINGS } from '../settings.ts';
import { Wake } from '../wake.ts';
import type { FragmentReader } from './fragment-reader.ts';
import { type StoredBatch, verifyBatch } from './stored-batch.ts';

export interface CopyRequest {
  readonly reader: FragmentReader;
  readonly offset: Offset;
  /** Whether a batch begins at `offset`. */
  readonly isBase: boolean;
  /** Who is known not to have a good copy: asked last. */
  readonly without: StorageNodeId | undefined;
  readonly closing: Closing;
  /** Called between rounds. May throw to end the search. */
  readonly betweenRounds: () => void;
}

/** The batch, or `undefined` when the reader was closed. */
export async function fetchCopy(request: CopyRequest): Promise<StoredBatch | undefined> {
  const { reader, offset, isBase, without, closing } = request;
  const { ports, health, notice } = reader.context;
  const { copyDelayMsMin: delayMsMin, copyDelayMsMax: delayMsMax } = SETTINGS;
  const backoff = new Backoff(ports.random, { delayMsMin, delayMsMax });
  const closed = new Wake();
  const registration = closing.onClose(() => closed.wake());
  try {
    while (!closing.isClosed) {
      const rank = (nodeId: StorageNodeId): number => (nodeId === without ? 2 : health.isExcluded(nodeId) ? 1 : 0);
      const nodeIds = reader.holders(offset, isBase).sort((a, b) => rank(a) - rank(b));
      for (const nodeId of nodeIds) {
        if (closing.isClosed) return undefined;
        const batch = await askOne(request, nodeId);
        if (batch !== undefined) return batch;
      }
      if (closing.isClosed) return undefined;
      request.betweenRounds();
      // The first round may just have been too early: a copy can be on its way to its node.
      if (backoff.attempts > 0) notice({ kind: 'waiting-for-nodes', partition: reader.partition, offset, nodeIds });
      await closed.waitFor(ports.clock, backoff.next());
    }
    return undefined;
  } finally {
    registration.cancel();
  }
}

function askOne(
  { reader, offset, isBase, closing }: CopyRequest,
  nodeId: StorageNodeId,
): Promise<StoredBatch | undefined> {
  const { reads, health, notice, ports } = reader.context;
  const until = (offset + 1) as Offset;
  const exclude = reader.nodeIds.filter((other) => other !== nodeId);
  const request = reader.request({ from: offset, until, exclude, credit: 1 });
  return new Promise((settle) => {
    let found: StoredBatch | undefined;
    const closed = closing.onClose(() => resolve(undefined));
    const resolve = (batch: StoredBatch | undefined): void => {
      closed.cancel();
      registration.cancel();
      settle(batch);
    };
    const registration = reads.send(nodeId, request, {
      onFrames: (bytes) => {
        if (found !== undefined) return;
        try {
          const batch = verifyBatch(bytes.slice(), 0, reader, ports.crc32);
          const { baseOffset } = batch.header;
          const isWanted = isBase ? baseOffset === offset : baseOffset <= offset && offset < batch.end;
          if (isWanted) found = batch;
        } catch {
          notice({ kind: 'copy-corrupt', partition: reader.partition, offset, nodeId });
          resolve(undefined);
        }
      },
      onEnd: (end) => {
        reader.releasedOffsetSeen(end.releasedOffset);
        health.answered(nodeId);
        resolve(found);
      },
      onFailure: (failure) => {
        if (failure.kind === 'absent') health.failed(nodeId, request, 'nobody listens');
        else if (failure.kind === 'silent') health.failed(nodeId, request, 'does not answer');
        else if (failure.kind === 'refused' && failure.error.code === 'corrupt') {
          notice({ kind: 'copy-corrupt', partition: reader.partition, offset, nodeId });
        }
        resolve(found);
      },
    });
  });
}
