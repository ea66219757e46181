/** The report of `append` as text. */
import {
  type Cell,
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
import type { AppendCaseReport, AppendReport, AppendRun } from './report.ts';

const TITLES = ['system', 'records/s', 'MB/s', ...LATENCY_TITLES, 'cpu us/record', ...USAGE_TITLES];

export function formatAppendReport(report: AppendReport): string {
  const parts = [
    `${report.startedAt}\n${formatMachine(report.machine)}`,
    ...report.cases.map((each) => formatCase(each, report)),
  ];
  if (report.profiles !== undefined) parts.push(formatProfiles(report.profiles));
  return parts.join('\n');
}

function formatCase(each: AppendCaseReport, { options }: AppendReport): string {
  const { load, recordBytes, partitions, recordsPerBatch, frameBytes, batchesInFlight } = each;
  const where = `${recordBytes} B records, ${partitions} ${partitions === 1 ? 'partition' : 'partitions'}`;
  const how =
    load === 'paced'
      ? `${formatCount(options.rate)} single records a second`
      : `full load, batches of ${formatCount(recordsPerBatch)} (${formatCount(frameBytes)} B), ${batchesInFlight} in flight`;
  const table = formatTable(TITLES, each.runs.map(runCells));
  return `${where}, ${how}; CPU in seconds of ${options.seconds}, rss in MB\n\n${table}${load === 'full' ? ratios(each) : ''}`;
}

function runCells(run: AppendRun): Cell[] {
  const { system, recordsPerSecond, megabytesPerSecond, latencyMs, cpuMicrosPerRecord } = run;
  const rates = [formatCount(recordsPerSecond), formatDecimal(megabytesPerSecond)];
  return [system, ...rates, ...latencyCells(latencyMs), formatDecimal(cpuMicrosPerRecord), ...usageCells(run)];
}

function ratios({ ratioTo }: AppendCaseReport): string {
  const texts = Object.entries(ratioTo).map(([system, ratio]) => `${formatDecimal(ratio)} of ${system}`);
  return `pyralog: ${texts.join(', ')}\n`;
}
