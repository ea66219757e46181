/**
 * Recovery's repair of a tail: fetching one batch from a node that has it, and writing it back to one that lacks it.
 *
 * A fetch is JSON, its reply the frame, or a failure envelope (which begins with `{`, as no frame does). A write-back is
 * `u32 ballot | u32 zero | frame`, little-endian, and is answered like a store, with `StoreAcks` on its reply subject,
 * once it is durable. The node takes it if its seal is at most `ballot`.
 */
import { z } from 'zod';
import { viewOf } from '../bytes.ts';
import { PyralogError } from '../errors.ts';
import type { Epoch } from '../ids.ts';
import { epochSchema, offsetSchema, partitionIdSchema } from '../metadata.ts';
import { decodeReply } from './envelope.ts';

export const fetchRequestSchema = z.object({
  partitionId: partitionIdSchema,
  epoch: epochSchema,
  baseOffset: offsetSchema,
});
export type FetchRequest = z.infer<typeof fetchRequestSchema>;

/** The frame of a fetch's reply, unchecked. @throws PyralogError the node's. */
export function decodeFetchReply(bytes: Uint8Array): Uint8Array {
  if (bytes[0] === OPENING_BRACE) decodeReply(z.never(), bytes);
  return bytes;
}

const OPENING_BRACE = 0x7b;
const PREFIX_BYTES = 8;

export interface WriteBack {
  readonly ballot: Epoch;
  readonly frame: Uint8Array;
}

export function encodeWriteBack({ ballot, frame }: WriteBack): Uint8Array {
  const bytes = new Uint8Array(PREFIX_BYTES + frame.byteLength);
  viewOf(bytes).setUint32(0, ballot, true);
  bytes.set(frame, PREFIX_BYTES);
  return bytes;
}

/** @throws PyralogError `corrupt`. The frame is a view, unchecked. */
export function decodeWriteBack(bytes: Uint8Array): WriteBack {
  if (bytes.byteLength < PREFIX_BYTES) {
    throw new PyralogError({ code: 'corrupt', message: 'write-back is not well formed' });
  }
  return { ballot: viewOf(bytes).getUint32(0, true) as Epoch, frame: bytes.subarray(PREFIX_BYTES) };
}
