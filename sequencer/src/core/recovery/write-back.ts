/**
 * Brings every kept batch of a tail to W members of its copyset, the same bytes, under the recovery's ballot. Only then
 * may the epoch be closed after it.
 */
import {
  type Crc32,
  checkFrame,
  decodeFetchReply,
  decodeStoreAcks,
  type Epoch,
  encodeMessage,
  encodeWriteBack,
  type Fragment,
  PyralogError,
  type Subjects,
  type Transport,
} from '@pyralog/shared/core';
import type { KeptBatch, Tail } from './tail.ts';

const ANSWER_MS_MAX = 2_000;
/** Batches of one partition that are fetched and written back at once. */
const BATCHES_IN_FLIGHT_MAX = 8;

export interface WriteBackPorts {
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly crc32: Crc32;
}

/**
 * @throws PyralogError `fenced` when a node has promised a higher ballot; `unavailable` naming the nodes when W members
 *   cannot be reached now.
 */
export async function writeBackTail(options: {
  ports: WriteBackPorts;
  fragment: Fragment;
  ballot: Epoch;
  tail: Tail;
  kept: readonly KeptBatch[];
}): Promise<void> {
  const { ports, fragment, ballot, tail, kept } = options;
  const waiting = kept.filter((batch) => copies(batch.holders) < fragment.writeQuorum).reverse();
  const worker = async (): Promise<void> => {
    for (let batch = waiting.pop(); batch !== undefined; batch = waiting.pop()) {
      await writeBackBatch(ports, fragment, ballot, tail, batch);
    }
  };
  await Promise.all(Array.from({ length: Math.min(BATCHES_IN_FLIGHT_MAX, waiting.length) }, worker));
}

async function writeBackBatch(
  ports: WriteBackPorts,
  fragment: Fragment,
  ballot: Epoch,
  tail: Tail,
  batch: KeptBatch,
): Promise<void> {
  const members = tail.table.nodeIds(batch.copyset);
  const frame = await fetchFrame(
    ports,
    members.filter((_, member) => (batch.holders & (1 << member)) !== 0),
    batch,
  );
  const payload = encodeWriteBack({ ballot, frame });
  const lacking = members.filter((_, member) => (batch.holders & (1 << member)) === 0);
  const outcomes = await Promise.allSettled(lacking.map((nodeId) => store(ports, nodeId, payload)));
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected' && outcome.reason instanceof PyralogError && outcome.reason.code === 'fenced') {
      throw outcome.reason;
    }
  }
  const written = outcomes.filter(({ status }) => status === 'fulfilled').length;
  if (copies(batch.holders) + written >= fragment.writeQuorum) return;
  throw new PyralogError({
    code: 'unavailable',
    message: 'tail of the epoch cannot be brought to the write quorum',
    fields: {
      at: batch.header.baseOffset,
      nodes: lacking.filter((_, index) => outcomes[index]?.status === 'rejected'),
    },
  });
}

/** The frame from the first holder that gives it whole. */
async function fetchFrame(
  { transport, subjects, crc32 }: WriteBackPorts,
  holders: readonly KeptNode[],
  batch: KeptBatch,
): Promise<Uint8Array> {
  const { partitionId, epoch, nonce, baseOffset } = batch.header;
  const request = encodeMessage({ partitionId, epoch, baseOffset });
  let cause: unknown;
  for (const nodeId of holders) {
    try {
      const reply = await transport.request(subjects.fetch(nodeId), request, { timeoutMs: ANSWER_MS_MAX });
      const frame = decodeFetchReply(reply.payload);
      const header = checkFrame(frame, crc32);
      if (header.epoch === epoch && header.nonce === nonce && header.baseOffset === baseOffset) return frame;
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      cause = error;
    }
  }
  throw new PyralogError({
    code: 'unavailable',
    message: 'batch of the tail cannot be fetched from its holders',
    fields: { at: baseOffset, nodes: holders },
    cause,
  });
}

type KeptNode = Parameters<Subjects['fetch']>[0];

async function store({ transport, subjects }: WriteBackPorts, nodeId: KeptNode, payload: Uint8Array): Promise<void> {
  const reply = await transport.request(subjects.writeBack(nodeId), payload, { timeoutMs: ANSWER_MS_MAX });
  const verdict = decodeStoreAcks(reply.payload).acks[0]?.verdict;
  if (verdict === 'stored') return;
  throw new PyralogError({
    code: verdict === 'fenced' ? 'fenced' : 'unavailable',
    message: 'storage node refused a write-back',
    fields: { nodeId, verdict },
  });
}

function copies(holders: number): number {
  let count = 0;
  for (let bits = holders; bits !== 0; bits &= bits - 1) count++;
  return count;
}
