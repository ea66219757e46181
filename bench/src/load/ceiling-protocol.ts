/**
 * What the publisher and the storage processes of the ceiling tell each other.
 *
 * A frame is what Pyralog would send for the same records, byte for byte as long, but for its first four bytes: they
 * hold the CRC-32 of all the others. A subject stands for the RF storage processes that subscribe to it: `first`, and
 * those after it. An acknowledgement is 8 bytes: `u32 member | u32 count`, little-endian.
 */
import { encodeBody, type RecordTuple, viewOf } from '@pyralog/shared/core';
import { nativeCrc32 } from '@pyralog/shared/node';
import { type BatchShape, randomValues } from './batch-shape.ts';
import type { CeilingVariant } from './ceiling-connection.ts';

export const CEILING_CRC_FROM = 4;

export interface CeilingStorageSettings {
  readonly variant: CeilingVariant;
  readonly natsUrl: string;
  readonly directory: string;
  readonly storageProcesses: number;
  readonly replicationFactor: number;
  /** 0 to the number of storage processes, exclusive. */
  readonly member: number;
}

export interface CeilingAck {
  readonly member: number;
  /** Frames of the run that are on the member's disk: the first so many. */
  readonly count: number;
}

const ACK_BYTES = 8;

export function ceilingSubject(variant: CeilingVariant, first: number): string {
  return `ceiling.${variant}.${first}`;
}

export function encodeCeilingAck(ack: CeilingAck): Uint8Array {
  const bytes = new Uint8Array(ACK_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, ack.member, true);
  view.setUint32(4, ack.count, true);
  return bytes;
}

export function decodeCeilingAck(bytes: Uint8Array): CeilingAck {
  const view = viewOf(bytes);
  return { member: view.getUint32(0, true), count: view.getUint32(4, true) };
}

/** `count` frames of random records. */
export function ceilingFrames(shape: BatchShape, count: number): Uint8Array[] {
  return Array.from({ length: count }, () => {
    const tuples = randomValues(shape.recordBytes, shape.recordsPerBatch).map((value): RecordTuple => [0, null, value]);
    const frame = encodeBody(tuples);
    viewOf(frame).setUint32(0, nativeCrc32(frame.subarray(CEILING_CRC_FROM)), true);
    return frame;
  });
}
