/** What was to be reached, and whether it was. A goal that concerns every round is met when the best of them meets it. */
import type { DensityReport, EventReport, FailoverEvent, Goal } from './report.ts';
import { HANDOVERS } from './report.ts';

/** `PYRALOG_SUSPECT_AFTER_MS`: a process that hangs is noticed no sooner. */
const SUSPECT_AFTER_MS = 500;
const RECOVERED_P50_MS = 300;
const RECOVERED_P99_MS = 1_000;
const HANDOVER_P99_MS = 50;
const ACTIVATED_MS = 3_000;
const DENSITY_RATIO = 0.8;

export function goalsOf(results: {
  readonly events: readonly EventReport[];
  readonly density: DensityReport | undefined;
  readonly sequencerBytes: number;
}): Goal[] {
  const { events, density, sequencerBytes } = results;
  return [
    ...failureGoals(events, 'kill', 'killed', 0),
    ...failureGoals(events, 'hang', 'stopped', SUSPECT_AFTER_MS),
    ...handoverGoals(events),
    ...(density === undefined ? [] : densityGoals(density)),
    atMost('written to disk by sequencers', 'B', 0, [sequencerBytes]),
  ];
}

function failureGoals(events: readonly EventReport[], event: FailoverEvent, what: string, extraMs: number): Goal[] {
  const found = events.filter((each) => each.event === event);
  if (found.length === 0) return [];
  const p50 = found.map(({ recoveredMs }) => recoveredMs?.p50 ?? Number.POSITIVE_INFINITY);
  const p99 = found.map(({ recoveredMs }) => recoveredMs?.p99 ?? Number.POSITIVE_INFINITY);
  return [
    atMost(`sequencer ${what}: acknowledged again, p50`, 'ms', RECOVERED_P50_MS + extraMs, p50),
    atMost(`sequencer ${what}: acknowledged again, p99`, 'ms', RECOVERED_P99_MS + extraMs, p99),
    atMost(`sequencer ${what}: failed calls`, '', 0, [sum(found.map(({ failedCalls }) => failedCalls))]),
  ];
}

function handoverGoals(events: readonly EventReport[]): Goal[] {
  const goals: Goal[] = [];
  for (const event of HANDOVERS) {
    const found = events.filter((each) => each.event === event);
    if (found.length === 0) continue;
    const p99 = found.map(({ waitMs, probedWaitMs }) => Math.max(waitMs.p99, probedWaitMs.p99));
    goals.push(atMost(`handover (${event}): longest wait, p99`, 'ms', HANDOVER_P99_MS, p99));
    goals.push(atMost(`handover (${event}): failed calls`, '', 0, [sum(found.map(({ failedCalls }) => failedCalls))]));
  }
  return goals;
}

function densityGoals({ activations, ratios }: DensityReport): Goal[] {
  const goals: Goal[] = [];
  for (const after of ['terminate', 'kill'] as const) {
    const found = activations.filter((each) => each.after === after).map(({ activatedMs }) => activatedMs);
    if (found.length > 0) goals.push(atMost(`all activated after ${after}`, 'ms', ACTIVATED_MS, found));
  }
  for (const recordsPerBatch of new Set(ratios.map((each) => each.recordsPerBatch))) {
    const found = ratios.filter((each) => each.recordsPerBatch === recordsPerBatch).map(({ ratio }) => ratio);
    goals.push(atLeast(`many partitions / few, batches of ${recordsPerBatch}`, '', DENSITY_RATIO, found));
  }
  return goals;
}

function atMost(name: string, unit: string, value: number, measured: readonly number[]): Goal {
  const best = Math.min(...measured);
  return { name, unit, goal: { kind: 'at-most', value }, measured, best, met: best <= value };
}

function atLeast(name: string, unit: string, value: number, measured: readonly number[]): Goal {
  const best = Math.max(...measured);
  return { name, unit, goal: { kind: 'at-least', value }, measured, best, met: best >= value };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
