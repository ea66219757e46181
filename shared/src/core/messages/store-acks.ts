/**
 * A storage node's answers to one sequencer, gathered over one commit.
 *
 * `u8 version = 1 | u8 id length | u16 zero | u32 count | u64 incarnation | id | count entries`, each entry 32 bytes:
 * `u32 partitionId | u32 epoch | u64 nonce | u64 baseOffset | u32 verdict | u32 sealedEpoch`, little-endian.
 */
import { hex64, readU64, text, utf8, viewOf, writeU64 } from '../bytes.ts';
import { assert, PyralogError } from '../errors.ts';
import {
  type Epoch,
  type Incarnation,
  isProcessId,
  type Nonce,
  type Offset,
  type PartitionId,
  type StorageNodeId,
} from '../ids.ts';

export const STORE_VERDICTS = ['stored', 'fenced', 'read-only'] as const;
/**
 * `stored`: durable as the batch's durability asks. `fenced`: the node has seen epoch `sealedEpoch` (or another nonce
 * of this epoch) and will never store it. `read-only`: the node has no room now.
 */
export type StoreVerdict = (typeof STORE_VERDICTS)[number];

export interface StoreAck {
  readonly partitionId: PartitionId;
  readonly epoch: Epoch;
  readonly nonce: Nonce;
  readonly baseOffset: Offset;
  readonly verdict: StoreVerdict;
  /** With `fenced`: the epoch that the node has seen; 0 otherwise. */
  readonly sealedEpoch: Epoch;
}

export interface StoreAcks {
  readonly nodeId: StorageNodeId;
  /** Of the node's data directory: a copy on another one than the fragment's slot names does not count. */
  readonly incarnation: Incarnation;
  readonly acks: readonly StoreAck[];
}

const VERSION = 1;
const PREFIX_BYTES = 16;
const ENTRY_BYTES = 32;
/** Entries of one message: half a MiB, which fits NATS' default `max_payload`. */
export const STORE_ACKS_MAX = 16_384;

export function encodeStoreAcks({ nodeId, incarnation, acks }: StoreAcks): Uint8Array {
  assert(acks.length <= STORE_ACKS_MAX, 'acknowledgements exceed one message');
  const id = utf8(nodeId);
  const bytes = new Uint8Array(PREFIX_BYTES + id.byteLength + acks.length * ENTRY_BYTES);
  const view = viewOf(bytes);
  view.setUint8(0, VERSION);
  view.setUint8(1, id.byteLength);
  view.setUint32(4, acks.length, true);
  view.setBigUint64(8, BigInt(`0x${incarnation}`), true);
  bytes.set(id, PREFIX_BYTES);
  let position = PREFIX_BYTES + id.byteLength;
  for (const ack of acks) {
    view.setUint32(position, ack.partitionId, true);
    view.setUint32(position + 4, ack.epoch, true);
    view.setBigUint64(position + 8, ack.nonce, true);
    writeU64(view, position + 16, ack.baseOffset);
    view.setUint32(position + 24, STORE_VERDICTS.indexOf(ack.verdict), true);
    view.setUint32(position + 28, ack.sealedEpoch, true);
    position += ENTRY_BYTES;
  }
  return bytes;
}

/** @throws PyralogError `corrupt`. */
export function decodeStoreAcks(bytes: Uint8Array): StoreAcks {
  if (bytes.byteLength < PREFIX_BYTES) throw malformed();
  const view = viewOf(bytes);
  const idLength = view.getUint8(1);
  const count = view.getUint32(4, true);
  if (view.getUint8(0) !== VERSION || count > STORE_ACKS_MAX) throw malformed();
  if (bytes.byteLength !== PREFIX_BYTES + idLength + count * ENTRY_BYTES) throw malformed();
  const nodeId = text(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + idLength));
  if (!isProcessId(nodeId)) throw malformed();
  const acks: StoreAck[] = [];
  for (let position = PREFIX_BYTES + idLength; position < bytes.byteLength; position += ENTRY_BYTES) {
    const verdict = STORE_VERDICTS[view.getUint32(position + 24, true)];
    if (verdict === undefined) throw malformed();
    acks.push({
      partitionId: view.getUint32(position, true) as PartitionId,
      epoch: view.getUint32(position + 4, true) as Epoch,
      nonce: view.getBigUint64(position + 8, true) as Nonce,
      baseOffset: readU64(view, position + 16) as Offset,
      verdict,
      sealedEpoch: view.getUint32(position + 28, true) as Epoch,
    });
  }
  const incarnation = hex64(view.getBigUint64(8, true)) as Incarnation;
  return { nodeId: nodeId as StorageNodeId, incarnation, acks };
}

function malformed(): PyralogError {
  return new PyralogError({ code: 'corrupt', message: 'store acknowledgements are not well formed' });
}
