/** What the demo measured, and the table that shows it. */
import { formatBytes, formatCount, formatSeconds, formatTable, perSecond } from '../table.ts';

/** Copies that one storage node stored during the demo. */
export interface NodeLoad {
  readonly id: string;
  readonly records: number;
  readonly bytes: number;
}

export interface SequencerWrites {
  readonly id: string;
  /** Since the process started; `undefined` where it cannot be measured. */
  readonly bytesWritten: number | undefined;
}

export interface DemoResult {
  readonly log: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly writeQuorum: number;
  readonly strategy: string;
  readonly records: number;
  readonly valueBytes: number;
  readonly produceSeconds: number;
  readonly consumeSeconds: number;
  /** From the start of the command until the first record was read back. */
  readonly firstRecordSeconds: number;
  readonly storageNodes: readonly NodeLoad[];
  readonly sequencers: readonly SequencerWrites[];
}

/** Sequencers own no disk: the demo fails when one of them wrote to it. */
export function sequencersThatWrote(result: DemoResult): SequencerWrites[] {
  return result.sequencers.filter(({ bytesWritten }) => bytesWritten !== undefined && bytesWritten > 0);
}

export function demoTable(result: DemoResult): string {
  return [
    `${result.log}: flights of vega-datasets, ${result.partitions} partitions, RF ${result.replicationFactor}, W ${result.writeQuorum}, ${result.strategy}\n`,
    throughputTable(result),
    storageNodeTable(result),
    sequencerTable(result),
  ].join('\n');
}

function throughputTable(result: DemoResult): string {
  const { records, valueBytes, produceSeconds, consumeSeconds, firstRecordSeconds } = result;
  const row = (name: string, seconds: number): string[] => [
    name,
    formatCount(records),
    formatBytes(valueBytes),
    formatSeconds(seconds),
    `${formatCount(perSecond(records, seconds))}/s`,
    `${formatBytes(Math.round(perSecond(valueBytes, seconds)))}/s`,
  ];
  const columns = [
    { title: '' },
    { title: 'records', align: 'right' },
    { title: 'bytes', align: 'right' },
    { title: 'time', align: 'right' },
    { title: 'records', align: 'right' },
    { title: 'bytes', align: 'right' },
  ] as const;
  const table = formatTable(columns, [row('appended', produceSeconds), row('read back', consumeSeconds)]);
  return `${table}every record came back once, byte for byte, in order per key\nfirst record read back ${formatSeconds(firstRecordSeconds)} after the start of the command\n`;
}

function storageNodeTable(result: DemoResult): string {
  const { storageNodes } = result;
  const sum = (of: (node: NodeLoad) => number): number => storageNodes.reduce((total, node) => total + of(node), 0);
  const rows = storageNodes.map((node) => [node.id, formatCount(node.records), formatBytes(node.bytes)]);
  rows.push(['all copies', formatCount(sum((node) => node.records)), formatBytes(sum((node) => node.bytes))]);
  rows.push([
    'most / least',
    ratio(storageNodes.map((node) => node.records)),
    ratio(storageNodes.map((node) => node.bytes)),
  ]);
  const columns = [
    { title: 'storage node' },
    { title: 'records stored', align: 'right' },
    { title: 'bytes stored', align: 'right' },
  ] as const;
  return formatTable(columns, rows);
}

function sequencerTable(result: DemoResult): string {
  const rows = result.sequencers.map(({ id, bytesWritten }) => [
    id,
    bytesWritten === undefined ? 'not measurable here' : formatCount(bytesWritten),
  ]);
  return formatTable([{ title: 'sequencer' }, { title: 'bytes written to disk', align: 'right' }], rows);
}

function ratio(values: readonly number[]): string {
  const least = Math.min(...values);
  return least > 0 ? (Math.max(...values) / least).toFixed(3) : '-';
}
