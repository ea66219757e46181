/**
 * Replays one segment: which of its frames are proven durable, which are only there.
 *
 * Commits are serialized, so everything before a commit mark was synced; so was everything before the checkpoint, and
 * everything that the next segment's header vouches for. Damage there is corruption: that range is left out, loudly,
 * and the replay goes on behind it. What lies past the last proof is the tail of the last commit before a crash: its
 * frames may be in the page cache only (a failed sync leaves them there, looking sound), and damage in it is a torn
 * write that nobody was promised.
 */
import type { FrameHeader } from '@pyralog/shared/core';
import { type FrameVisitor, type ScanSource, scanFrames } from './scan-frames.ts';

export interface PlacedFrame {
  readonly header: FrameHeader;
  readonly position: number;
}

export interface SegmentReplay {
  readonly source: ScanSource;
  readonly from: number;
  /** Known to be durable without looking at the marks. */
  readonly provenBytes: number;
  /** A frame that is durable where it is; called in order. */
  readonly onProven: (frame: PlacedFrame) => void;
  /** Every proven frame before this position has been reported. */
  readonly onProgress: (position: number) => void;
  readonly onCorruption: (from: number, until: number, problem: string) => void;
  readonly pause: () => Promise<void>;
}

export interface ReplayedSegment {
  readonly provenBytes: number;
  /** Verified frames past it, in order. */
  readonly unproven: readonly PlacedFrame[];
  /** Damaged bytes past it. */
  readonly tornBytes: number;
}

interface Damage {
  readonly from: number;
  readonly until: number;
  readonly problem: string;
}

export async function replaySegment(replay: SegmentReplay): Promise<ReplayedSegment> {
  let provenBytes = Math.max(replay.provenBytes, replay.from);
  /** Past the last proof so far: at most one commit. */
  let waiting: PlacedFrame[] = [];
  let damages: Damage[] = [];

  const settle = (position: number): void => {
    provenBytes = Math.max(provenBytes, position);
    for (const frame of waiting) replay.onProven(frame);
    waiting = [];
    for (const damage of damages) replay.onCorruption(damage.from, damage.until, damage.problem);
    damages = [];
    replay.onProgress(position);
  };
  const visitor: FrameVisitor = {
    onFrame: (header, position) => {
      if (position < provenBytes) replay.onProven({ header, position });
      else waiting.push({ header, position });
    },
    onMark: settle,
    onDamage: (from, until, problem) => {
      const proven = Math.min(until, provenBytes);
      if (from < proven) replay.onCorruption(from, proven, problem);
      if (until > provenBytes) damages.push({ from: Math.max(from, provenBytes), until, problem });
    },
    pause: replay.pause,
  };
  await scanFrames(replay.source, replay.from, visitor);
  replay.onProgress(provenBytes);
  const tornBytes = damages.reduce((bytes, damage) => bytes + damage.until - damage.from, 0);
  return { provenBytes, unproven: waiting, tornBytes };
}
