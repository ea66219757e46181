/** Progress on a terminal, on standard error so that piped output stays clean; nothing anywhere else. */
import cliProgress from 'cli-progress';
import { formatBytes, formatCount, perSecond } from './table.ts';

export interface Progress {
  /** Records so far; `done` in the unit of `total` (records unless said otherwise). */
  update(records: number, done?: number): void;
  /** Removes the bar. */
  stop(): void;
}

export interface ProgressOptions {
  readonly stream: NodeJS.WriteStream;
  readonly title: string;
  /** What 100 % is; a count without a bar when it is not known. */
  readonly total: number | undefined;
  /** `bytes` when `total` counts them. */
  readonly unit?: 'records' | 'bytes';
}

export const noProgress: Progress = { update() {}, stop() {} };

export function startProgress(options: ProgressOptions): Progress {
  const { stream, title, total, unit } = options;
  if (!stream.isTTY) return noProgress;
  const shownTotal = total === undefined ? '' : unit === 'bytes' ? formatBytes(total) : formatCount(total);
  const bar = new cliProgress.SingleBar({
    format:
      total === undefined
        ? `${title} {records} records, {rate}/s`
        : `${title} [{bar}] {percentage}% of {shownTotal}, {rate} records/s`,
    stream,
    fps: 10,
    linewrap: true,
    barsize: 24,
    clearOnComplete: true,
  });
  const startedAt = performance.now();
  const payload = (records: number) => ({
    records: formatCount(records),
    rate: formatCount(perSecond(records, (performance.now() - startedAt) / 1_000)),
    shownTotal,
  });
  bar.start(total ?? 0, 0, payload(0));
  return {
    update: (records, done = records) => bar.update(Math.min(done, total ?? done), payload(records)),
    stop: () => bar.stop(),
  };
}
