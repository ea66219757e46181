/** `pyralog sequencer drain ID` and `pyralog sequencer resume ID`. */
import type { Command } from 'commander';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import type { Output } from '../output.ts';

export function addSequencerCommands(parent: Command, output: Output): void {
  const drain = parent
    .command('drain')
    .description('let a sequencer hand over all its partitions and take none; returns when it has')
    .argument('<id>', 'id of the sequencer');
  addConnectionOptions(drain).action(async (id: string, options: ConnectionOptions) => {
    await withClient(options, (client) => client.admin.drainSequencer(id));
    await output.write(options.json === true ? `${JSON.stringify({ drained: id })}\n` : `drained ${id}\n`);
  });
  const resume = parent
    .command('resume')
    .description('let a drained sequencer take partitions again')
    .argument('<id>', 'id of the sequencer');
  addConnectionOptions(resume).action(async (id: string, options: ConnectionOptions) => {
    await withClient(options, (client) => client.admin.resumeSequencer(id));
    await output.write(options.json === true ? `${JSON.stringify({ resumed: id })}\n` : `resumed ${id}\n`);
  });
}
