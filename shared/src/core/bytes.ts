/**
 * Little-endian numbers in byte arrays, text, hexadecimal. u64 values that count something (offsets, times) are
 * JavaScript numbers and never exceed `Number.MAX_SAFE_INTEGER`; identities (nonces, producer ids) are bigints.
 */
import { assert, PyralogError } from './errors.ts';

const TWO_TO_32 = 0x1_0000_0000;
const encoder = new TextEncoder();
// A byte order mark is a character like any other: what was written is what is read.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Writes a non-negative safe integer as u64 at `position`. @throws AssertionError when `value` is anything else. */
export function writeU64(view: DataView, position: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'number is not a non-negative safe integer');
  view.setUint32(position, value % TWO_TO_32, true);
  view.setUint32(position + 4, Math.floor(value / TWO_TO_32), true);
}

/**
 * Reads a u64 that counts something.
 * @throws PyralogError `corrupt` when it exceeds `Number.MAX_SAFE_INTEGER`.
 */
export function readU64(view: DataView, position: number): number {
  const high = view.getUint32(position + 4, true);
  if (high > 0x1f_ffff) {
    throw new PyralogError({ code: 'corrupt', message: 'number is out of range', fields: { position } });
  }
  return high * TWO_TO_32 + view.getUint32(position, true);
}

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

export function text(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The text that `bytes` encode, or `undefined` when they are not UTF-8. */
export function textIfUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** 16 hexadecimal digits of a u64. */
export function hex64(value: bigint): string {
  return value.toString(16).padStart(16, '0');
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.byteLength;
  const joined = new Uint8Array(length);
  let position = 0;
  for (const part of parts) {
    joined.set(part, position);
    position += part.byteLength;
  }
  return joined;
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let index = 0; index < a.byteLength; index++) {
    if (a[index] !== b[index]) return false;
  }
  return true;
}

/**
 * Bytes that do not keep a much larger buffer alive: a view of less than a quarter of its buffer is copied, any other
 * is returned as it is. Received messages are views of the connection's read buffer; whoever keeps one calls this.
 */
export function detached(bytes: Uint8Array): Uint8Array {
  return bytes.buffer.byteLength > 4 * bytes.byteLength ? bytes.slice() : bytes;
}
