/** `pyralog log delete NAMESPACE/NAME`. */
import { formatLogName, type LogName, parseLogName } from '@pyralog/shared/core';
import type { Command } from 'commander';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import type { Output } from '../output.ts';

export function addLogDeleteCommand(parent: Command, output: Output): void {
  const command = parent
    .command('delete')
    .description('delete a log and all its records')
    .argument('<log>', 'NAMESPACE/NAME', parseLogName);
  addConnectionOptions(command).action(async (log: LogName, options: ConnectionOptions) => {
    const name = formatLogName(log);
    await withClient(options, (client) => client.admin.deleteLog(name));
    await output.write(options.json === true ? `${JSON.stringify({ deleted: name })}\n` : `deleted ${name}\n`);
  });
}
