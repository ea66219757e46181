/** The report of `failover` as text. */
import type { LatencyMs } from '../measure/latency.ts';
import {
  type Cell,
  formatCount,
  formatDecimal,
  formatMachine,
  formatTable,
  USAGE_TITLES,
  usageCells,
} from '../table.ts';
import type {
  ActivationReport,
  CalmReport,
  CheckReport,
  ConsensusRun,
  DensityReport,
  EventReport,
  FailoverReport,
  Goal,
} from './report.ts';
import { PROBE_INTERVAL_MS } from './trickle-task.ts';

export function formatFailoverReport(report: FailoverReport): string {
  const { calm, check, density, consensus, events, goals } = report;
  return [
    `${report.startedAt}\n${formatMachine(report.machine)}`,
    ...(calm === undefined ? [] : [formatCalm(calm, report)]),
    ...formatEvents(events),
    ...(check === undefined ? [] : [formatCheck(check)]),
    ...(density === undefined ? [] : [formatActivations(density.activations), formatRuns(density)]),
    ...(consensus === undefined ? [] : [formatConsensus(consensus, report)]),
    formatGoals(goals, report),
  ].join('\n');
}

function formatCalm(calm: CalmReport, { options }: FailoverReport): string {
  const { partitions, rate, probes } = options;
  const pace = `${formatCount(rate)} appends/s over ${partitions - probes} partitions, every ${PROBE_INTERVAL_MS} ms to ${probes} more`;
  const row = [formatCount(calm.appendsPerSecond), ...percentiles(calm.waitMs), ...usageCells(calm)];
  const table = formatTable(['appends/s', 'wait p50 ms', 'p99', 'max', ...USAGE_TITLES], [row]);
  return (
    `${partitions} partitions, 2 sequencers, 4 storage nodes, 1 nats-server; ${pace}\n` +
    `without any event; longest wait of each partition; CPU in seconds of ${formatDecimal(calm.seconds)}, rss in MB\n\n${table}`
  );
}

function formatEvents(events: readonly EventReport[]): string[] {
  const failures = events.filter(({ recoveredMs }) => recoveredMs !== undefined);
  const handovers = events.filter(({ recoveredMs }) => recoveredMs === undefined);
  const parts: string[] = [];
  if (failures.length > 0) {
    const titles = [
      'event',
      'round',
      'partitions',
      'p50 ms',
      'p99',
      'max',
      'silent p50',
      'max',
      'others max',
      'failed',
    ];
    const rows = failures.map((each) => [
      each.event,
      each.round,
      each.partitions,
      ...(each.recoveredMs === undefined ? ['-', '-', '-'] : percentiles(each.recoveredMs)),
      formatDecimal(each.probedSilenceMs.p50),
      formatDecimal(each.probedSilenceMs.max),
      formatDecimal(each.othersWaitMs),
      each.failedCalls + each.unrecovered,
    ]);
    parts.push(
      'a sequencer is killed (SIGKILL) or hangs (SIGSTOP): from then to the first acknowledgement of an append that was\n' +
        'sent after it, by partition; silent: probed partitions without acknowledgement; others: longest wait elsewhere\n\n' +
        formatTable(titles, rows),
    );
  }
  if (handovers.length > 0) {
    const titles = ['event', 'round', 'partitions', 'wait p50 ms', 'p99', 'max'];
    titles.push('probed p50', 'p99', 'max', 'silent p99', 'others max', 'failed', 'fenced');
    const rows = handovers.map((each) => [
      each.event,
      each.round,
      each.partitions,
      ...percentiles(each.waitMs),
      ...percentiles(each.probedWaitMs),
      formatDecimal(each.probedSilenceMs.p99),
      formatDecimal(each.othersWaitMs),
      each.failedCalls + each.unrecovered,
      each.fencedEpochs ?? '-',
    ]);
    parts.push(
      'partitions are handed over: longest wait of an append, by partition that changed hands; probed: those among them\n' +
        `that are appended to every ${PROBE_INTERVAL_MS} ms\n\n${formatTable(titles, rows)}`,
    );
  }
  return parts;
}

function formatCheck({ appended, read, failedCalls, missing, repeated, outOfOrder }: CheckReport): string {
  const titles = ['appended', 'read back', 'failed calls', 'missing', 'repeated', 'out of order'];
  const row = [formatCount(appended), formatCount(read), failedCalls, missing, repeated, outOfOrder];
  return `everything that was appended meanwhile, read back and compared\n\n${formatTable(titles, [row])}`;
}

function formatActivations(activations: readonly ActivationReport[]): string {
  const titles = ['start after', 'round', 'partitions', 'ready ms', 'activated ms', 'all acknowledge ms', 'rss MB'];
  const rows = activations.map((each) => [
    each.after,
    each.round,
    each.partitions,
    ...[each.readyMs, each.activatedMs, each.acknowledgedMs, each.memoryBytes / 1e6].map((value) => formatCount(value)),
  ]);
  return `one sequencer starts again with all partitions; from the start of its process\n\n${formatTable(titles, rows)}`;
}

function formatRuns({ runs, ratios }: DensityReport): string {
  const titles = ['partitions', 'round', 'records a batch', 'records/s', 'p50 ms', 'p99 ms', ...USAGE_TITLES];
  const rows = runs.map((run): Cell[] => [
    run.partitions,
    run.round,
    run.recordsPerBatch,
    formatCount(run.recordsPerSecond),
    formatDecimal(run.latencyMs.p50),
    formatDecimal(run.latencyMs.p99),
    ...usageCells(run),
  ]);
  const texts = ratios.map(
    ({ round, recordsPerBatch, ratio }) => `${formatDecimal(ratio)} (${recordsPerBatch} a batch, round ${round})`,
  );
  return `many partitions beside few, full load, the same batches in flight\n\n${formatTable(titles, rows)}ratios: ${texts.join(', ')}\n`;
}

function formatConsensus(runs: readonly ConsensusRun[], { options }: FailoverReport): string {
  const titles = ['system', 'round', 'partitions', 'records/s', 'p50 ms', 'p99 ms', ...USAGE_TITLES];
  const rows = runs.map((run): Cell[] => [
    run.system,
    run.round,
    run.partitions,
    formatCount(run.recordsPerSecond),
    formatDecimal(run.latencyMs.p50),
    formatDecimal(run.latencyMs.p99),
    ...usageCells(run),
  ]);
  return (
    `epochs beside consensus per record: single records of 100 B, ${options.concurrency} in flight, three copies\n\n` +
    formatTable(titles, rows)
  );
}

function formatGoals(goals: readonly Goal[], { sequencerWrites }: FailoverReport): string {
  const rows = goals.map(({ name, unit, goal, measured, best, met }) => [
    name,
    `${goal.kind === 'at-most' ? '<=' : '>='} ${goal.value}${unit === '' ? '' : ` ${unit}`}`,
    measured.map(formatDecimal).join(' '),
    formatDecimal(best),
    met ? 'met' : 'NOT MET',
  ]);
  const table = formatTable(['goal', '', 'measured', 'best', ''], rows);
  return `sequencer processes followed: ${sequencerWrites.processes}\n\n${table}`;
}

function percentiles({ p50, p99, max }: LatencyMs): string[] {
  return [p50, p99, max].map(formatDecimal);
}
