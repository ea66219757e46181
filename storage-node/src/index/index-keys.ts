/**
 * Keys and values of the index, big-endian keys so that their order is the order of what they name.
 *
 * - `batches`: `u32 partitionId | u32 epoch | u64 baseOffset` → `u32 segmentId | u32 length | u64 position | u32
 *   recordCount | u32 zero | u64 appendTimeMs`. The epoch comes before the offset, since everything that is asked
 *   (which batch of this epoch holds this offset, the batches of this epoch in a range, the last one) stays within one
 *   epoch, and an epoch's batches so lie side by side.
 * - `partitions`: `u32 partitionId` → `u32 epoch | u32 has nonce | u64 nonce | u64 releasedOffset`.
 * - `segments`: `u32 segmentId` → nothing: segments that batches lie in.
 * - `meta`: `checkpoint` → `u64 segmentId | u64 position`; `identity` → version and incarnation, text.
 */
import type {
  BatchLocation,
  Checkpoint,
  Epoch,
  Nonce,
  Offset,
  PartitionId,
  PartitionState,
} from '@pyralog/shared/core';

export const BATCH_KEY_BYTES = 16;
const BATCH_VALUE_BYTES = 32;

export function batchKey(partitionId: number, epoch: number, offset: number): Buffer {
  const key = Buffer.allocUnsafe(BATCH_KEY_BYTES);
  key.writeUInt32BE(partitionId, 0);
  key.writeUInt32BE(epoch, 4);
  writeU64(key, 8, offset);
  return key;
}

export function batchValue(location: BatchLocation): Buffer {
  const value = Buffer.allocUnsafe(BATCH_VALUE_BYTES);
  value.writeUInt32BE(location.segmentId, 0);
  value.writeUInt32BE(location.length, 4);
  writeU64(value, 8, location.position);
  value.writeUInt32BE(location.recordCount, 16);
  value.writeUInt32BE(0, 20);
  writeU64(value, 24, location.appendTimeMs);
  return value;
}

/** @throws RangeError when the bytes are not those of an entry. */
export function batchLocation(key: Buffer, value: Buffer): BatchLocation {
  return {
    partitionId: key.readUInt32BE(0) as PartitionId,
    epoch: key.readUInt32BE(4) as Epoch,
    baseOffset: readU64(key, 8) as Offset,
    recordCount: value.readUInt32BE(16),
    appendTimeMs: readU64(value, 24),
    segmentId: value.readUInt32BE(0),
    position: readU64(value, 8),
    length: value.readUInt32BE(4),
  };
}

export function numberKey(value: number): Buffer {
  const key = Buffer.allocUnsafe(4);
  key.writeUInt32BE(value, 0);
  return key;
}

export function partitionValue(state: PartitionState): Buffer {
  const value = Buffer.allocUnsafe(24);
  value.writeUInt32BE(state.epoch, 0);
  value.writeUInt32BE(state.nonce === undefined ? 0 : 1, 4);
  value.writeBigUInt64BE(state.nonce ?? 0n, 8);
  writeU64(value, 16, state.releasedOffset);
  return value;
}

export function partitionState(key: Buffer, value: Buffer): PartitionState {
  return {
    partitionId: key.readUInt32BE(0) as PartitionId,
    epoch: value.readUInt32BE(0) as Epoch,
    nonce: value.readUInt32BE(4) === 0 ? undefined : (value.readBigUInt64BE(8) as Nonce),
    releasedOffset: readU64(value, 16) as Offset,
  };
}

export function checkpointValue(checkpoint: Checkpoint): Buffer {
  const value = Buffer.allocUnsafe(16);
  writeU64(value, 0, checkpoint.segmentId);
  writeU64(value, 8, checkpoint.position);
  return value;
}

export function checkpointOf(value: Buffer): Checkpoint {
  return { segmentId: readU64(value, 0), position: readU64(value, 8) };
}

function writeU64(bytes: Buffer, position: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), position);
  bytes.writeUInt32BE(value % 0x1_0000_0000, position + 4);
}

function readU64(bytes: Buffer, position: number): number {
  return bytes.readUInt32BE(position) * 0x1_0000_0000 + bytes.readUInt32BE(position + 4);
}
