/**
 * `pyralog produce NAMESPACE/NAME < lines`: one record for each line, as bytes. The input is read no faster than the
 * cluster takes it. What was acknowledged is reported also when the produce fails or is interrupted.
 */
import { fstatSync } from 'node:fs';
import type { Producer, PyralogClient, RecordInput } from '@pyralog/client';
import { formatLogName, invalid, LIMITS, type LogName, PyralogError, parseLogName } from '@pyralog/shared/core';
import { type Command, Option } from 'commander';
import { nonEmpty, wholeNumber } from '../arguments.ts';
import { addConnectionOptions, type ConnectionOptions, withClient } from '../connection.ts';
import { listenForInterrupt } from '../interrupt.ts';
import { LineSplitter } from '../line-splitter.ts';
import type { Output } from '../output.ts';
import { ProduceSummary } from '../produce-summary.ts';
import { noProgress, type Progress, startProgress } from '../progress.ts';
import { recordSource } from '../record-source.ts';

interface ProduceOptions extends ConnectionOptions {
  readonly key?: string;
  readonly keyField?: string;
  readonly partition?: number;
}

export function addProduceCommand(parent: Command, output: Output): void {
  const command = parent
    .command('produce')
    .description('append each line of standard input as a record')
    .argument('<log>', 'NAMESPACE/NAME', parseLogName)
    .option('-k, --key <key>', 'key of every record')
    .addOption(
      new Option('--key-field <field>', 'lines are JSON objects: the field whose value is the key')
        .argParser(nonEmpty)
        .conflicts('key'),
    )
    .option(
      '-p, --partition <n>',
      'partition of every record, instead of the one of its key',
      wholeNumber(0, LIMITS.logPartitionsMax - 1),
    );
  addConnectionOptions(command).action(async (log: LogName, options: ProduceOptions) => {
    await withClient(options, async (client) => {
      await requireLog(client, log, options.partition);
      const summary = new ProduceSummary();
      const producer = client.producer(formatLogName(log), { onAcknowledged: (ack) => summary.add(ack) });
      const run = new ProduceRun(producer, recordSource(options), startInputProgress());
      const startedAt = performance.now();
      let isDone = false;
      try {
        await run.readAll();
        isDone = true;
      } finally {
        const totals = { bytes: run.bytes, seconds: (performance.now() - startedAt) / 1_000 };
        if (isDone || summary.records > 0) {
          await output.write(`${options.json === true ? summary.toJson(totals) : summary.toText(totals)}\n`);
        }
      }
    });
  });
}

/**
 * Before any input is read: a producer would go on trying, since a cluster that does not answer may soon.
 * @throws PyralogError `invalid` when there is no such log or partition; `unavailable` when no sequencer answers.
 */
async function requireLog(client: PyralogClient, log: LogName, partition: number | undefined): Promise<void> {
  const { partitionCount: partitions } = (await client.admin.describeLog(formatLogName(log))).log;
  if (partition !== undefined && partition >= partitions) {
    throw invalid('partition', 'log has no such partition', { log: formatLogName(log), partition, partitions });
  }
}

/** One pass over standard input. */
class ProduceRun {
  readonly #producer: Producer;
  readonly #toRecord: (line: Uint8Array, lineNumber: number) => RecordInput;
  readonly #progress: Progress;
  /** A line beyond the record limit still reaches the producer, which names its size; one beyond a frame does not. */
  readonly #splitter = new LineSplitter({ lineBytesMax: LIMITS.frameBytesMax });
  /** Bytes of the values given to the producer. */
  bytes = 0;

  constructor(producer: Producer, toRecord: (line: Uint8Array, lineNumber: number) => RecordInput, progress: Progress) {
    this.#producer = producer;
    this.#toRecord = toRecord;
    this.#progress = progress;
  }

  /**
   * Returns when every line is acknowledged. Ctrl-C ends the input. What was read before that, or before a line that
   * cannot be appended, is appended all the same.
   */
  async readAll(): Promise<void> {
    const interrupt = listenForInterrupt();
    const onAbort = (): void => {
      process.stdin.destroy();
    };
    interrupt.signal.addEventListener('abort', onAbort);
    let failure: unknown;
    try {
      await this.#readInput(interrupt.signal);
    } catch (reason) {
      failure = reason;
    }
    try {
      process.stdin.destroy();
      await this.#producer.flush();
    } catch (reason) {
      failure ??= reason;
    } finally {
      this.#progress.stop();
      interrupt.release();
    }
    if (failure !== undefined) throw failure;
    if (interrupt.signal.aborted) {
      const fields = { field: 'input', line: this.#splitter.lines };
      throw new PyralogError({ code: 'closed', message: 'interrupted before the end of the input', fields });
    }
  }

  async #readInput(signal: AbortSignal): Promise<void> {
    const input: AsyncIterable<Uint8Array> = process.stdin;
    let inputBytes = 0;
    try {
      for await (const chunk of input) {
        inputBytes += chunk.byteLength;
        await this.#writeLines(chunk);
        this.#progress.update(this.#splitter.lines, inputBytes);
      }
    } catch (reason) {
      if (!signal.aborted || reason instanceof PyralogError) throw reason;
      return;
    }
    const last = this.#splitter.end();
    if (last !== undefined) await this.#write(last);
  }

  async #writeLines(chunk: Uint8Array): Promise<void> {
    this.#splitter.push(chunk);
    for (let line = this.#splitter.next(); line !== undefined; line = this.#splitter.next()) {
      const full = this.#write(line);
      if (full !== undefined) await full;
    }
  }

  #write(line: Uint8Array): Promise<void> | undefined {
    const record = this.#toRecord(line, this.#splitter.lines);
    let full: Promise<void> | undefined;
    try {
      full = this.#producer.write(record);
    } catch (reason) {
      throw withLine(reason, this.#splitter.lines);
    }
    this.bytes += line.byteLength;
    return full;
  }
}

/** An error about a record also names its line. */
function withLine(reason: unknown, line: number): unknown {
  if (!(reason instanceof PyralogError) || reason.code !== 'invalid') return reason;
  const { code, message, retry, outcome, fields } = reason;
  return new PyralogError({ code, message, retry, outcome, fields: { ...fields, line }, cause: reason });
}

/** A bar when standard input is a file, a count otherwise, nothing when lines are typed. */
function startInputProgress(): Progress {
  if (process.stdin.isTTY) return noProgress;
  const input = fstatSync(0);
  const total = input.isFile() ? input.size : undefined;
  return startProgress({ stream: process.stderr, title: 'produce', total, unit: 'bytes' });
}
