/**
 * Walks the frames of a segment, verifying each.
 *
 * A frame whose body is damaged but whose header verifies is stepped over: its length can be trusted, so what follows
 * is still at a known place. After any other damage the walk goes on at the next commit mark, which cannot be mistaken
 * for anything else; frames are never looked for in between, since a record may contain the bytes of a frame.
 */
import {
  type Crc32,
  checkFrame,
  checkFrameHeader,
  describeError,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  type SegmentFile,
} from '@pyralog/shared/core';
import { isCommitMark } from '../commit-mark.ts';
import { findCommitMark } from './find-commit-mark.ts';

const WINDOW_BYTES = 4 * 1024 * 1024;

export interface ScanSource {
  readonly file: SegmentFile;
  readonly segmentNonce: bigint;
  readonly crc32: Crc32;
}

export interface FrameVisitor {
  /** A batch or a seal. */
  onFrame(header: FrameHeader, position: number): void;
  onMark(position: number): void;
  onDamage(from: number, until: number, problem: string): void;
  /** Called every few megabytes; the walk goes on when it resolves. */
  pause(): Promise<void>;
}

type Step =
  | { readonly kind: 'frame'; readonly header: FrameHeader }
  /** So many bytes from here are needed to decide. */
  | { readonly kind: 'read'; readonly length: number }
  /** `length` is known when the header can be trusted. */
  | { readonly kind: 'damage'; readonly length: number | undefined; readonly problem: string };

/** Visits what lies in `[from, file.size)`. */
export async function scanFrames(source: ScanSource, from: number, visitor: FrameVisitor): Promise<void> {
  const { file, segmentNonce } = source;
  let window: Uint8Array = new Uint8Array(0);
  let windowFrom = from;
  let position = from;
  while (position < file.size) {
    const step = examine(source, window, position - windowFrom, file.size - position);
    if (step.kind === 'read') {
      await visitor.pause();
      window = await file.read(position, Math.min(Math.max(WINDOW_BYTES, step.length), file.size - position));
      windowFrom = position;
      if (window.byteLength >= step.length) continue;
      visitor.onDamage(position, file.size, 'file is shorter than its size');
      return;
    }
    if (step.kind === 'frame' && step.header.kind !== 'commit') {
      visitor.onFrame(step.header, position);
      position += step.header.frameLength;
      continue;
    }
    if (step.kind === 'frame' && isCommitMark(step.header, { segmentNonce, position })) {
      visitor.onMark(position);
      position += step.header.frameLength;
      continue;
    }
    const damaged = step.kind === 'damage' ? step : { length: undefined, problem: 'commit mark is of another place' };
    const until = damaged.length === undefined ? await findCommitMark(source, position + 1) : position + damaged.length;
    visitor.onDamage(position, until ?? file.size, damaged.problem);
    position = until ?? file.size;
    if (damaged.length === undefined) {
      window = new Uint8Array(0);
      windowFrom = position;
    }
  }
}

function examine({ crc32 }: ScanSource, window: Uint8Array, at: number, remaining: number): Step {
  if (window.byteLength - at < Math.min(FRAME_HEADER_BYTES, remaining))
    return { kind: 'read', length: Math.min(FRAME_HEADER_BYTES, remaining) };
  try {
    return { kind: 'frame', header: checkFrame(window, crc32, at) };
  } catch (reason) {
    return classify(window, at, remaining, crc32, describeError(reason));
  }
}

function classify(window: Uint8Array, at: number, remaining: number, crc32: Crc32, problem: string): Step {
  let length: number;
  try {
    length = checkFrameHeader(window, crc32, at).frameLength;
  } catch {
    return { kind: 'damage', length: undefined, problem };
  }
  if (length > remaining)
    return { kind: 'damage', length: undefined, problem: 'frame reaches past the end of the file' };
  if (length > window.byteLength - at) return { kind: 'read', length };
  return { kind: 'damage', length, problem };
}
