/** `pyralog log describe NAMESPACE/NAME`: where each partition is, how far, and on which storage nodes. */
import type { LogDescription } from '@pyralog/client';
import { formatLogName, hex64, type LogName, parseLogName } from '@pyralog/shared/core';
import type { Command } from 'commander';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import { describeLogConfig } from '../log-text.ts';
import type { Output } from '../output.ts';
import { formatCount, formatTable } from '../table.ts';

export function addLogDescribeCommand(parent: Command, output: Output): void {
  const command = parent
    .command('describe')
    .description('show the partitions of a log: epoch, sequencer, released offset, nodeset')
    .argument('<log>', 'NAMESPACE/NAME', parseLogName);
  addConnectionOptions(command).action(async (log: LogName, options: ConnectionOptions) => {
    const description = await withClient(options, (client) => client.admin.describeLog(formatLogName(log)));
    await output.write(options.json === true ? `${descriptionJson(description)}\n` : describe(description));
  });
}

/** The columns of the table and the fragments; nonces, which are u64, as 16 hexadecimal digits. */
function descriptionJson(description: LogDescription): string {
  const partitions = description.partitions.map((partition) => ({
    partition: partition.partition,
    partitionId: partition.partitionId,
    state: partition.state,
    epoch: partition.lastEpoch,
    sequencer: partition.sequencerId ?? null,
    releasedOffset: partition.status?.releasedOffset ?? null,
    nextOffset: partition.status?.nextOffset ?? null,
    trimPoint: partition.trimPoint,
    nodeset: nodesetOf(partition),
    pinned: partition.pinned ?? null,
    claim: partition.claim ?? null,
    recovery: partition.recovery ?? null,
    halted: partition.halted ?? null,
    fragments: partition.fragments,
  }));
  return JSON.stringify({ log: description.log, partitions }, (_, member: unknown) =>
    typeof member === 'bigint' ? hex64(member) : member,
  );
}

/** Of the last fragment. */
function nodesetOf(partition: LogDescription['partitions'][number]): string[] {
  return partition.fragments.at(-1)?.slots.map((slot) => slot.nodeId) ?? [];
}

function describe(description: LogDescription): string {
  const columns = [
    { title: 'partition', align: 'right' },
    { title: 'state' },
    { title: 'epoch', align: 'right' },
    { title: 'sequencer' },
    { title: 'released', align: 'right' },
    { title: 'trimmed before', align: 'right' },
    { title: 'nodeset' },
  ] as const;
  const rows = description.partitions.map((partition) => [
    String(partition.partition),
    partition.state,
    String(partition.lastEpoch),
    partition.sequencerId ?? '-',
    partition.status === undefined ? '-' : formatCount(partition.status.releasedOffset),
    formatCount(partition.trimPoint),
    nodesetOf(partition).join(' ') || '-',
  ]);
  const notes = description.partitions.flatMap(noteOn);
  return `${describeLogConfig(description.log)}\n\n${formatTable(columns, rows)}${notes.map((note) => `${note}\n`).join('')}`;
}

/** Why a partition is not served, if it is not. */
function noteOn({ partition, halted, recovery, claim }: LogDescription['partitions'][number]): string[] {
  if (halted !== undefined) return [`partition ${partition} is halted: ${halted}`];
  if (recovery === undefined) return [];
  const { phase, blockedBy, forMs } = recovery;
  const waits = blockedBy.length === 0 ? '' : `, waiting for ${blockedBy.join(' ')}`;
  const who = claim === undefined ? 'somebody' : `${claim.sequencerId} (epoch ${claim.epoch})`;
  return [`partition ${partition} is being recovered by ${who}: ${phase} for ${(forMs / 1_000).toFixed(1)} s${waits}`];
}
