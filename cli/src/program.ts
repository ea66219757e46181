/** The `pyralog` command: all its subcommands, parsed but not run until `parseAsync`. */
import { Command } from 'commander';
import { addClusterStatusCommand } from './commands/cluster-status.ts';
import { addConsumeCommand } from './commands/consume.ts';
import { addDevCommand } from './commands/dev.ts';
import { addLogCreateCommand } from './commands/log-create.ts';
import { addLogDeleteCommand } from './commands/log-delete.ts';
import { addLogDescribeCommand } from './commands/log-describe.ts';
import { addLogListCommand } from './commands/log-list.ts';
import { addPartitionMoveCommand } from './commands/partition-move.ts';
import { addProduceCommand } from './commands/produce.ts';
import { addSequencerCommands } from './commands/sequencer.ts';
import type { Output } from './output.ts';

/** @param version of the package. */
export function buildProgram(output: Output, version: string): Command {
  const program = new Command('pyralog')
    .description('A distributed log: sequencers order, storage nodes keep, NATS connects.')
    .version(version)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError() {} })
    .showSuggestionAfterError();
  program.addHelpText(
    'after',
    '\nExit codes: 0 done, 1 the operation failed, 2 the command was not used as it can be.\nErrors are one line on standard error: error: <message> (fields) [code] — <remedy>',
  );
  addDevCommand(program, output);
  const log = program.command('log').description('create, list, describe and delete logs');
  addLogCreateCommand(log, output);
  addLogListCommand(log, output);
  addLogDescribeCommand(log, output);
  addLogDeleteCommand(log, output);
  addProduceCommand(program, output);
  addConsumeCommand(program, output);
  addPartitionMoveCommand(program.command('partition').description('move partitions between sequencers'), output);
  addSequencerCommands(program.command('sequencer').description('drain and resume sequencers'), output);
  const cluster = program.command('cluster').description('look at the cluster');
  addClusterStatusCommand(cluster, output);
  return program;
}
