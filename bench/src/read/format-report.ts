/** The report of `read` as text. */
import {
  formatCount,
  formatDecimal,
  formatMachine,
  formatProfiles,
  formatTable,
  LATENCY_TITLES,
  latencyCells,
  USAGE_TITLES,
  usageCells,
} from '../table.ts';
import type { ReadCaseReport, ReadReport } from './report.ts';

export function formatReadReport(report: ReadReport): string {
  const parts = [
    `${report.startedAt}\n${formatMachine(report.machine)}`,
    ...report.cases.flatMap((each) => [formatCatchUp(each, report), ...formatTail(each, report)]),
  ];
  if (report.profiles !== undefined) parts.push(formatProfiles(report.profiles));
  return parts.join('\n');
}

function formatCatchUp(each: ReadCaseReport, { options }: ReadReport): string {
  const rows = each.catchUp.map((run) => [
    run.system,
    formatCount(run.recordsPerSecond),
    formatDecimal(run.megabytesPerSecond),
    formatDecimal(run.seconds),
    formatDecimal(run.cpuMicrosPerRecord),
    ...usageCells(run),
  ]);
  const table = formatTable(['system', 'records/s', 'MB/s', 'seconds', 'cpu us/record', ...USAGE_TITLES], rows);
  const what = `catch-up over ${formatCount(options.records)} records, batches of up to ${formatCount(each.batchBytes)} B`;
  return `${where(each)}, ${what}; CPU in seconds, rss in MB\n\n${table}`;
}

function formatTail(each: ReadCaseReport, { options }: ReadReport): string[] {
  if (each.tail.length === 0) return [];
  const rows = each.tail.map((run) => [run.system, ...latencyCells(run.latencyMs), ...usageCells(run)]);
  const table = formatTable(['system', ...LATENCY_TITLES, ...USAGE_TITLES], rows);
  const what = `append to delivery at ${formatCount(options.rate)} records/s`;
  return [`${where(each)}, ${what}; CPU in seconds of ${options.seconds}, rss in MB\n\n${table}`];
}

function where({ recordBytes, partitions }: ReadCaseReport): string {
  return `${recordBytes} B records, ${partitions} ${partitions === 1 ? 'partition' : 'partitions'}`;
}
