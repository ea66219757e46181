/** What the traces of all partitions say of one event. */
import { LatencyRecorder } from '../measure/latency.ts';
import type { EventReport, FailoverEvent } from './report.ts';
import type { PartitionTrace } from './trickle-task.ts';

export function reportEvent(options: {
  event: FailoverEvent;
  round: number;
  sequencerId: string;
  traces: readonly PartitionTrace[];
  /** Whether the partition is one that the event is about. */
  isConcerned: (trace: PartitionTrace) => boolean;
  isFailure: boolean;
}): EventReport {
  const { event, round, sequencerId, traces, isConcerned, isFailure } = options;
  const concerned = traces.filter(isConcerned);
  const others = traces.filter((trace) => !isConcerned(trace));
  const probed = concerned.filter(({ isProbed }) => isProbed);
  const recovered = concerned.flatMap(({ recoveredMs }) => recoveredMs ?? []);
  return {
    event,
    round,
    sequencerId,
    partitions: concerned.length,
    recoveredMs: isFailure ? summarize(recovered) : undefined,
    unrecovered: concerned.length - recovered.length,
    waitMs: summarize(concerned.map(({ longestWaitMs }) => longestWaitMs)),
    probedWaitMs: summarize(probed.map(({ longestWaitMs }) => longestWaitMs)),
    probedSilenceMs: summarize(probed.map(({ longestSilenceMs }) => longestSilenceMs)),
    othersWaitMs: Math.max(0, ...others.map(({ longestWaitMs }) => longestWaitMs)),
    failedCalls: traces.reduce((sum, { failed }) => sum + failed, 0),
  };
}

export function summarize(milliseconds: readonly number[]) {
  const recorder = new LatencyRecorder();
  for (const each of milliseconds) recorder.record(each);
  return recorder.summary();
}
