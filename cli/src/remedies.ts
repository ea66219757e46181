/** What a person can do about an error: the last part of the error line. */
import { type ErrorCode, type PyralogError, unreachable } from '@pyralog/shared/core';

export function remedyOf(error: PyralogError): string {
  const { logFile } = error.fields;
  if (logFile !== undefined) return `look at ${String(logFile)}`;
  return remedyOfField(error) ?? remedyOfCode(error.code);
}

/** For errors that name the field at fault. */
function remedyOfField(error: PyralogError): string | undefined {
  const { field, limit, value } = error.fields;
  switch (field) {
    case 'log':
      return value === undefined
        ? '"pyralog log list" shows the logs there are'
        : 'a log is NAMESPACE/NAME, for example shop/orders';
    case 'partition':
      return '"pyralog log describe" shows the partitions of a log';
    case 'record':
    case 'line':
      return 'the lines before it were appended; split it, or leave it out';
    case 'demo':
      return 'run it again';
    case 'input':
      return 'the lines up to this one were appended; send the rest';
    case '--key-field':
      return 'the lines before it were appended; correct the line, or choose another --key-field';
    case 'clusterName':
      return 'choose another --cluster';
    case 'replicationFactor':
      return limit === undefined
        ? 'choose another --replication-factor'
        : `use --replication-factor ${String(limit)} or less, or add storage nodes`;
    case 'writeQuorum':
      return 'choose a --write-quorum from 1 to the replication factor';
    case 'url':
      return 'give --nats as nats://host:port';
    case 'directory':
      return 'stop that cluster first, or choose another --dir';
    case '--port':
      return 'choose another with --port N, or any free one with --port 0';
    case 'bytesWritten':
      return 'sequencers own no disk: look at its log';
    default:
      return undefined;
  }
}

function remedyOfCode(code: ErrorCode): string {
  switch (code) {
    case 'invalid':
      return 'correct it and try again';
    case 'overloaded':
      return 'the cluster is behind: try again later, or send less at a time';
    case 'unavailable':
      return 'check that the cluster runs and that --nats and --cluster name it; "pyralog dev" starts a local one';
    case 'timeout':
      return 'look at "pyralog cluster status"; what was asked may have happened';
    case 'fenced':
    case 'not-sequencer':
      return 'the partition moved to another sequencer: try again';
    case 'trimmed':
      return 'read from a later offset, or from earliest';
    case 'data-loss':
      return 'look at "pyralog log describe" for the nodes that hold the partition';
    case 'corrupt':
      return 'read again; if it stays, look at the logs of the storage nodes';
    case 'read-only':
      return 'free disk space on the storage nodes';
    case 'unauthorized':
      return 'check the credentials in --nats';
    case 'closed':
      return 'connect again';
    default:
      return unreachable(code);
  }
}
