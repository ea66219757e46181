/** `pyralog cluster status`: the processes, and whether every partition is served. */
import type { ClusterStatus, SequencerHeartbeat, StorageNodeHeartbeat } from '@pyralog/shared/core';
import type { Command } from 'commander';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import type { Output } from '../output.ts';
import { formatBytes, formatCount, formatTable } from '../table.ts';

type Process = ClusterStatus['processes'][number];

export function addClusterStatusCommand(parent: Command, output: Output): void {
  const command = parent
    .command('status')
    .description('show the processes of the cluster and the state of its partitions');
  addConnectionOptions(command).action(async (options: ConnectionOptions) => {
    const status = await withClient(options, (client) => client.admin.clusterStatus());
    await output.write(options.json === true ? `${JSON.stringify(status)}\n` : describe(status));
  });
}

function describe(status: ClusterStatus): string {
  const { serving, unowned, recoveryNeeded, halted } = status.partitions;
  const processes = [...status.processes].sort((a, b) =>
    a.heartbeat.id.localeCompare(b.heartbeat.id, 'en', { numeric: true }),
  );
  return [
    `cluster ${status.clusterName}: ${formatCount(status.logs)} ${status.logs === 1 ? 'log' : 'logs'}; partitions: ${formatCount(serving)} serving, ${formatCount(unowned)} unowned, ${formatCount(recoveryNeeded)} recovery needed, ${formatCount(halted)} halted\n`,
    sequencerTable(processes),
    storageNodeTable(processes),
  ].join('\n');
}

function sequencerTable(processes: readonly Process[]): string {
  const rows: string[][] = [];
  for (const process of processes) {
    if (process.heartbeat.role === 'sequencer') rows.push(sequencerRow(process, process.heartbeat));
  }
  const columns = [
    { title: 'sequencer' },
    { title: 'state' },
    { title: 'partitions', align: 'right' },
    { title: 'records since start', align: 'right' },
    { title: 'bytes since start', align: 'right' },
    { title: 'window', align: 'right' },
    { title: 'memory', align: 'right' },
  ] as const;
  return formatTable(columns, rows);
}

function sequencerRow(process: Process, heartbeat: SequencerHeartbeat): string[] {
  return [
    heartbeat.id,
    stateOf(process),
    formatCount(heartbeat.partitions),
    formatCount(heartbeat.appendedRecords),
    formatBytes(heartbeat.appendedBytes),
    formatBytes(heartbeat.windowBytes),
    formatBytes(heartbeat.rssBytes),
  ];
}

function storageNodeTable(processes: readonly Process[]): string {
  const rows: string[][] = [];
  for (const process of processes) {
    if (process.heartbeat.role === 'storage-node') rows.push(storageNodeRow(process, process.heartbeat));
  }
  const columns = [
    { title: 'storage node' },
    { title: 'state' },
    { title: 'zone' },
    { title: 'records since start', align: 'right' },
    { title: 'bytes since start', align: 'right' },
    { title: 'segments', align: 'right' },
    { title: 'free', align: 'right' },
    { title: 'memory', align: 'right' },
  ] as const;
  return formatTable(columns, rows);
}

function storageNodeRow(process: Process, heartbeat: StorageNodeHeartbeat): string[] {
  return [
    heartbeat.id,
    stateOf(process),
    heartbeat.zone ?? '-',
    formatCount(heartbeat.storedRecords),
    formatBytes(heartbeat.storedBytes),
    formatCount(heartbeat.segments),
    formatBytes(heartbeat.freeBytes),
    formatBytes(heartbeat.rssBytes),
  ];
}

function stateOf(process: Process): string {
  return process.alive ? process.heartbeat.state : `silent for ${(process.silentMs / 1_000).toFixed(1)} s`;
}
