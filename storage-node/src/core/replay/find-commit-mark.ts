/** Looks for the next commit mark of a segment after damage. */
import { checkFrameHeader, FRAME_MAGIC } from '@pyralog/shared/core';
import { COMMIT_MARK_BYTES, isCommitMark } from '../commit-mark.ts';
import type { ScanSource } from './scan-frames.ts';

const WINDOW_BYTES = 1024 * 1024;
const FIRST_BYTE = FRAME_MAGIC & 0xff;
const SECOND_BYTE = (FRAME_MAGIC >>> 8) & 0xff;

/** Position of the first commit mark at or after `from`, if there is one. */
export async function findCommitMark(source: ScanSource, from: number): Promise<number | undefined> {
  const { file } = source;
  // Windows overlap by one byte less than a mark, so that a mark across their border is seen whole.
  for (let windowFrom = from; windowFrom + COMMIT_MARK_BYTES <= file.size; windowFrom += WINDOW_BYTES) {
    const length = Math.min(WINDOW_BYTES + COMMIT_MARK_BYTES - 1, file.size - windowFrom);
    const found = findIn(source, await file.read(windowFrom, length), windowFrom);
    if (found !== undefined) return found;
  }
  return undefined;
}

function findIn(source: ScanSource, window: Uint8Array, windowFrom: number): number | undefined {
  const last = window.byteLength - COMMIT_MARK_BYTES;
  for (let at = window.indexOf(FIRST_BYTE); at >= 0 && at <= last; at = window.indexOf(FIRST_BYTE, at + 1)) {
    if (window[at + 1] === SECOND_BYTE && isMarkAt(source, window, at, windowFrom + at)) return windowFrom + at;
  }
  return undefined;
}

function isMarkAt({ segmentNonce, crc32 }: ScanSource, window: Uint8Array, at: number, position: number): boolean {
  try {
    const header = checkFrameHeader(window, crc32, at);
    return header.frameLength === COMMIT_MARK_BYTES && isCommitMark(header, { segmentNonce, position });
  } catch {
    return false;
  }
}
