/** `pyralog partition move NAMESPACE/NAME PARTITION --to ID`. */
import { formatLogName, LIMITS, type LogName, parseLogName } from '@pyralog/shared/core';
import type { Command } from 'commander';
import { nonEmpty, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import type { Output } from '../output.ts';

interface MoveOptions extends ConnectionOptions {
  readonly to: string;
}

/** What `--to` says when the ranking shall decide again. */
const RANKING = 'auto';

export function addPartitionMoveCommand(parent: Command, output: Output): void {
  const command = parent
    .command('move')
    .description('hand a partition to a sequencer, where it stays while that one lives; no append fails')
    .argument('<log>', 'NAMESPACE/NAME', parseLogName)
    .argument('<partition>', 'number of the partition', wholeNumber(0, LIMITS.logPartitionsMax - 1))
    .requiredOption('--to <id>', `id of the sequencer, or "${RANKING}" to let the ranking decide again`, nonEmpty);
  addConnectionOptions(command).action(async (log: LogName, partition: number, options: MoveOptions) => {
    const name = formatLogName(log);
    const to = options.to === RANKING ? undefined : options.to;
    await withClient(options, (client) => client.admin.movePartition(name, partition, to));
    const moved = { log: name, partition, to: options.to };
    await output.write(
      options.json === true ? `${JSON.stringify(moved)}\n` : `moving ${name} ${partition} to ${options.to}\n`,
    );
  });
}
