/** `pyralog log create NAMESPACE/NAME --partitions N`. */
import {
  DEFAULTS,
  formatLogName,
  LIMITS,
  type LogName,
  type LogOptions,
  parseLogName,
  STRATEGIES,
  type Strategy,
} from '@pyralog/shared/core';
import { type Command, Option } from 'commander';
import { wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import { describeLogConfig } from '../log-text.ts';
import type { Output } from '../output.ts';

interface CreateOptions extends ConnectionOptions {
  readonly partitions: number;
  readonly replicationFactor?: number;
  readonly writeQuorum?: number;
  readonly strategy: Strategy;
  readonly seed?: number;
  readonly scatterWidth?: number;
  readonly durability: 'fsync' | 'memory';
}

const U32_MAX = 0xffff_ffff;

export function addLogCreateCommand(parent: Command, output: Output): void {
  const command = parent
    .command('create')
    .description('create a log')
    .argument('<log>', 'NAMESPACE/NAME', parseLogName)
    .requiredOption(
      '--partitions <n>',
      'partitions: each is one ordered sequence',
      wholeNumber(1, LIMITS.logPartitionsMax),
    )
    .option(
      '--replication-factor <n>',
      `copies of every batch (default: ${DEFAULTS.replicationFactor})`,
      wholeNumber(1, LIMITS.replicationFactorMax),
    )
    .option(
      '--write-quorum <n>',
      'copies that make a batch acknowledged (default: more than half)',
      wholeNumber(1, LIMITS.replicationFactorMax),
    )
    .addOption(
      new Option(
        '--strategy <strategy>',
        'which storage nodes hold what: chosen for each batch, or once for a partition',
      )
        .choices(STRATEGIES)
        .default('per-record'),
    )
    .option('--seed <n>', 'seed of the placement', wholeNumber(0, U32_MAX))
    .option(
      '--scatter-width <n>',
      `storage nodes that each one shares batches with (default: ${DEFAULTS.scatterWidth})`,
      wholeNumber(1, LIMITS.scatterWidthMax),
    )
    .addOption(
      new Option('--durability <durability>', 'acknowledged means: on the disks of a write quorum, or in their memory')
        .choices(['fsync', 'memory'])
        .default('fsync'),
    );
  addConnectionOptions(command).action(async (log: LogName, options: CreateOptions) => {
    const config = await withClient(options, (client) =>
      client.admin.createLog(formatLogName(log), logOptions(options)),
    );
    await output.write(
      options.json === true ? `${JSON.stringify(config)}\n` : `created ${describeLogConfig(config)}\n`,
    );
  });
}

function logOptions(options: CreateOptions): LogOptions {
  const { partitions, replicationFactor, writeQuorum, strategy, seed, scatterWidth, durability } = options;
  return { partitions, replicationFactor, writeQuorum, strategy, seed, scatterWidth, durability };
}
