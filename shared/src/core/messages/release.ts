/**
 * The released offset of an idle partition: `u8 version = 1 | u8[3] zero | u32 epoch | u64 nonce | u64 released`,
 * little-endian.
 */
import { readU64, viewOf, writeU64 } from '../bytes.ts';
import { PyralogError } from '../errors.ts';
import type { Epoch, Nonce, Offset } from '../ids.ts';

export interface Release {
  readonly epoch: Epoch;
  readonly nonce: Nonce;
  readonly releasedOffset: Offset;
}

const BYTES = 24;
const VERSION = 1;

export function encodeRelease(release: Release): Uint8Array {
  const bytes = new Uint8Array(BYTES);
  const view = viewOf(bytes);
  view.setUint8(0, VERSION);
  view.setUint32(4, release.epoch, true);
  view.setBigUint64(8, release.nonce, true);
  writeU64(view, 16, release.releasedOffset);
  return bytes;
}

/** @throws PyralogError `corrupt`. */
export function decodeRelease(bytes: Uint8Array): Release {
  if (bytes.byteLength !== BYTES || bytes[0] !== VERSION) {
    throw new PyralogError({ code: 'corrupt', message: 'release is not well formed' });
  }
  const view = viewOf(bytes);
  return {
    epoch: view.getUint32(4, true) as Epoch,
    nonce: view.getBigUint64(8, true) as Nonce,
    releasedOffset: readU64(view, 16) as Offset,
  };
}
