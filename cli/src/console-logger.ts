/** What the code that starts processes logs, as lines for a person. */
import type { LogFields, Logger } from '@pyralog/shared/core';

export function consoleLogger(stream: NodeJS.WritableStream): Logger {
  const line =
    (prefix: string) =>
    (message: string, fields: LogFields = {}) => {
      stream.write(`${prefix}${message}${describeFields(fields)}\n`);
    };
  return { debug() {}, info: line(''), warn: line('warning: '), error: line('error: ') };
}

function describeFields(fields: LogFields): string {
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return shown.length === 0 ? '' : ` (${shown.join(', ')})`;
}
