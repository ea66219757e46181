/** What every single storage node holds of a partition, and whether all copies of an offset are the same. */
import type { PyralogClient } from '@pyralog/client';
import {
  checkFrame,
  decodeReadMessage,
  decodeReply,
  encodeMessage,
  type Fragment,
  type PartitionId,
  readEndSchema,
  type StorageNodeId,
  sameBatch,
} from '@pyralog/shared/core';
import { type NatsTransport, nativeCrc32 } from '@pyralog/shared/node';
import { subjects } from './raw.ts';

export interface ReplicaReport {
  /** Batches below the released offset, and how many copies each has. */
  readonly copies: Map<string, number>;
  readonly conflicts: string[];
}

/** Compares the copies of every batch of a log below each fragment's end. All storage nodes must be up. */
export async function compareReplicas(
  client: PyralogClient,
  transport: NatsTransport,
  log: string,
): Promise<ReplicaReport> {
  const report: ReplicaReport = { copies: new Map(), conflicts: [] };
  const { log: config, partitions } = await client.admin.describeLog(log);
  for (const { partitionId, partition, fragments, status } of partitions) {
    for (const fragment of fragments) {
      const until = fragment.end ?? status?.releasedOffset ?? fragment.start;
      const first = new Map<number, Uint8Array>();
      for (const { nodeId } of fragment.slots) {
        for (const frame of await framesOf(transport, config.namespace, nodeId, partitionId, fragment, until)) {
          const { baseOffset } = checkFrame(frame, nativeCrc32);
          const key = `${partition}/${baseOffset}`;
          const other = first.get(baseOffset);
          if (other === undefined) first.set(baseOffset, frame);
          else if (!sameBatch(other, frame)) report.conflicts.push(`${key} differs on ${nodeId}`);
          report.copies.set(key, (report.copies.get(key) ?? 0) + 1);
        }
      }
    }
  }
  return report;
}

async function framesOf(
  transport: NatsTransport,
  namespace: string,
  nodeId: StorageNodeId,
  partitionId: PartitionId,
  fragment: Fragment,
  until: number,
): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  const { strategy, seed, scatterWidth, replicationFactor, slots, epoch } = fragment;
  const exclude = slots.map((slot) => slot.nodeId).filter((id) => id !== nodeId);
  for (let from: number = fragment.start; from < until; ) {
    const request = {
      partitionId,
      epoch,
      from,
      until,
      placement: { strategy, seed, scatterWidth, replicationFactor, slots },
      exclude,
      credit: 4 * 1024 * 1024,
    };
    from = await readOnce(transport, subjects.read(namespace, nodeId), encodeMessage(request), frames);
  }
  return frames;
}

function readOnce(
  transport: NatsTransport,
  subject: string,
  request: Uint8Array,
  frames: Uint8Array[],
): Promise<number> {
  const inbox = transport.createInbox();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      subscription.cancel();
      reject(new Error(`no answer on ${subject}`));
    }, 10_000);
    const subscription = transport.subscribe(inbox, ({ payload }) => {
      const message = decodeReadMessage(payload);
      if (message.kind === 'frames') {
        for (let at = 0; at < message.bytes.byteLength; ) {
          const { frameLength } = checkFrame(message.bytes, nativeCrc32, at);
          frames.push(message.bytes.slice(at, at + frameLength));
          at += frameLength;
        }
        return;
      }
      clearTimeout(timer);
      subscription.cancel();
      try {
        resolve(decodeReply(readEndSchema, message.bytes).next);
      } catch (error) {
        reject(error);
      }
    });
    transport.publish(subject, request, inbox);
  });
}
