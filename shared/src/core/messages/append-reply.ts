/**
 * The owner's answer to an append: 24 bytes when it succeeded, a failure envelope otherwise.
 *
 * `u8 version = 1 | u8[3] zero | u32 epoch | u64 baseOffset | u64 appendTimeMs`, little-endian. A failure is JSON and so
 * begins with `{`.
 */
import { z } from 'zod';
import { readU64, viewOf, writeU64 } from '../bytes.ts';
import { PyralogError } from '../errors.ts';
import type { Epoch, Offset } from '../ids.ts';
import { decodeReply } from './envelope.ts';

export interface AppendReply {
  readonly epoch: Epoch;
  readonly baseOffset: Offset;
  readonly appendTimeMs: number;
}

const BYTES = 24;
const VERSION = 1;

export function encodeAppendReply(reply: AppendReply): Uint8Array {
  const bytes = new Uint8Array(BYTES);
  const view = viewOf(bytes);
  view.setUint8(0, VERSION);
  view.setUint32(4, reply.epoch, true);
  writeU64(view, 8, reply.baseOffset);
  writeU64(view, 16, reply.appendTimeMs);
  return bytes;
}

/** @throws PyralogError the owner's; `invalid` when the reply is not well formed. */
export function decodeAppendReply(bytes: Uint8Array): AppendReply {
  if (bytes[0] !== VERSION || bytes.byteLength !== BYTES) {
    decodeReply(z.never(), bytes);
    throw new PyralogError({ code: 'invalid', message: 'append reply is not well formed', outcome: 'unknown' });
  }
  const view = viewOf(bytes);
  return {
    epoch: view.getUint32(4, true) as Epoch,
    baseOffset: readU64(view, 8) as Offset,
    appendTimeMs: readU64(view, 16),
  };
}
