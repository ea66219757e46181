/**
 * `pyralog consume NAMESPACE/NAME`: prints records, those there are or, with `--follow`, also those that come. Nothing is
 * read faster than it is printed. A reader that goes away (`| head`) and Ctrl-C end it quietly.
 */
import type { ConsumedBatch, ConsumedRecord, Reader } from '@pyralog/client';
import { formatLogName, LIMITS, type LogName, parseLogName } from '@pyralog/shared/core';
import type { Command } from 'commander';
import { type From, offsetArgument, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import { type Interrupt, listenForInterrupt } from '../interrupt.ts';
import { noticePrinter } from '../notices.ts';
import type { Output } from '../output.ts';
import { noProgress, startProgress } from '../progress.ts';
import { recordToJson } from '../record-json.ts';

interface ConsumeOptions extends ConnectionOptions {
  readonly partition?: number;
  readonly offset: From;
  readonly count?: number;
  readonly follow?: boolean;
}

const HELP = `
Without --json each value is one line, as it is. With it each record is one object:
  {"partition":0,"offset":7,"epoch":1,"timestamp":1700000000000,"key":"k","value":"v","headers":[["name","value"]]}
where text stands for bytes that are UTF-8, {"base64":"…"} for others and null for none.

Partitions are read side by side: records of one partition come in order, those of different ones in any.`;

export function addConsumeCommand(parent: Command, output: Output): void {
  const command = parent
    .command('consume')
    .description('print the records of a log')
    .argument('<log>', 'NAMESPACE/NAME', parseLogName)
    .option('-p, --partition <n>', 'only this partition', wholeNumber(0, LIMITS.logPartitionsMax - 1))
    .option(
      '-o, --offset <where>',
      'where to begin: earliest, latest, an offset, or -N for N before the end of each partition',
      offsetArgument,
      'earliest',
    )
    .option('-n, --count <n>', 'end after this many records', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('-f, --follow', 'wait for records that come; otherwise end at those there were at the start')
    .addHelpText('after', HELP);
  addConnectionOptions(command).action(async (log: LogName, options: ConsumeOptions) => {
    await withClient(options, async (client) => {
      const interrupt = listenForInterrupt();
      const reader = client.reader(formatLogName(log), {
        from: options.offset,
        follow: options.follow === true,
        signal: AbortSignal.any([interrupt.signal, output.signal]),
        onNotice: noticePrinter((line) => process.stderr.write(line)),
        ...(options.partition === undefined ? {} : { partitions: [options.partition] }),
      });
      try {
        await print(reader, output, options);
      } catch (reason) {
        if (!endedQuietly(interrupt, output)) throw reason;
      } finally {
        interrupt.release();
        await reader.close();
      }
    });
  });
}

async function print(reader: Reader, output: Output, options: ConsumeOptions): Promise<void> {
  const format = options.json === true ? jsonLines : valueLines;
  const limit = options.count ?? Number.POSITIVE_INFINITY;
  // The bar and the records would fight for the same terminal.
  const progress =
    process.stdout.isTTY || options.follow === true
      ? noProgress
      : startProgress({ stream: process.stderr, title: 'consume', total: options.count });
  let printed = 0;
  try {
    for await (const batch of reader.batches()) {
      const records = firstOf(batch, limit - printed);
      await output.write(format(records));
      printed += records.length;
      progress.update(printed);
      if (printed >= limit || output.closed) return;
    }
  } finally {
    progress.stop();
  }
}

function firstOf(batch: ConsumedBatch, count: number): readonly ConsumedRecord[] {
  return batch.records.length <= count ? batch.records : batch.records.slice(0, count);
}

function jsonLines(records: readonly ConsumedRecord[]): string {
  return records.map((record) => `${recordToJson(record)}\n`).join('');
}

const LINE_FEED = 10;

/** Each value and a line feed; a record without a value is an empty line. */
function valueLines(records: readonly ConsumedRecord[]): Uint8Array {
  let size = records.length;
  for (const record of records) size += record.value?.byteLength ?? 0;
  const lines = new Uint8Array(size);
  let position = 0;
  for (const { value } of records) {
    if (value !== undefined) {
      lines.set(value, position);
      position += value.byteLength;
    }
    lines[position++] = LINE_FEED;
  }
  return lines;
}

function endedQuietly(interrupt: Interrupt, output: Output): boolean {
  return interrupt.signal.aborted || output.closed;
}
