/** A log's configuration in one line. */
import { formatLogName, type LogConfig } from '@pyralog/shared/core';

export function describeLogConfig(log: LogConfig): string {
  return [
    `${formatLogName(log)}: ${log.partitionCount} ${log.partitionCount === 1 ? 'partition' : 'partitions'}`,
    `RF ${log.replicationFactor}`,
    `W ${log.writeQuorum}`,
    log.strategy,
    log.durability,
    ...(log.state === 'active' ? [] : [log.state]),
  ].join(', ');
}
