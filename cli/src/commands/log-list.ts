/** `pyralog log list [NAMESPACE]`. */
import { formatLogName, isNamespace } from '@pyralog/shared/core';
import { type Command, InvalidArgumentError } from 'commander';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import type { Output } from '../output.ts';
import { formatTable } from '../table.ts';

export function addLogListCommand(parent: Command, output: Output): void {
  const command = parent
    .command('list')
    .description('list the logs')
    .argument('[namespace]', 'only those of this namespace', namespaceArgument);
  addConnectionOptions(command).action(async (namespace: string | undefined, options: ConnectionOptions) => {
    const logs = await withClient(options, (client) => client.admin.listLogs(namespace));
    if (options.json === true) {
      await output.write(`${JSON.stringify(logs)}\n`);
      return;
    }
    if (logs.length === 0) {
      await output.write('no logs\n');
      return;
    }
    const columns = [
      { title: 'log' },
      { title: 'partitions', align: 'right' },
      { title: 'RF', align: 'right' },
      { title: 'W', align: 'right' },
      { title: 'strategy' },
      { title: 'durability' },
      { title: 'state' },
    ] as const;
    const rows = logs.map((log) => [
      formatLogName(log),
      String(log.partitionCount),
      String(log.replicationFactor),
      String(log.writeQuorum),
      log.strategy,
      log.durability,
      log.state,
    ]);
    await output.write(formatTable(columns, rows));
  });
}

function namespaceArgument(value: string): string {
  if (!isNamespace(value)) throw new InvalidArgumentError('It must be 1 to 64 letters, digits, _ or -.');
  return value;
}
