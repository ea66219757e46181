/** What is typed after `npm run bench --`. */
import { parseArgs } from 'node:util';
import { invalid, LIMITS } from '@pyralog/shared/core';

export const PEERS = ['none', 'jetstream', 'all'] as const;
export type Peers = (typeof PEERS)[number];

interface CommonOptions {
  readonly recordBytes: readonly number[];
  readonly partitions: readonly number[];
  /** Of one measured window. */
  readonly seconds: number;
  /** Windows of each system in each case, in turn with the other. */
  readonly rounds: number;
  readonly batchBytes: readonly number[];
  /** Records a second where a fixed low rate is measured. */
  readonly rate: number;
  readonly peers: Peers;
  readonly storageNodes: number;
  readonly sequencers: number;
  readonly profile: boolean;
  readonly json: boolean;
}

export interface AppendOptions extends CommonOptions {
  readonly producers: number;
  readonly inFlightBytes: number;
}

export interface ReadOptions extends CommonOptions {
  /** Written before they are read. */
  readonly records: number;
}

export type Command =
  | { readonly kind: 'append'; readonly options: AppendOptions }
  | { readonly kind: 'read'; readonly options: ReadOptions }
  | { readonly kind: 'help' };

export const USAGE = `Usage: npm run bench -- append|read [options]

  append  records/s and acknowledgement latency, beside the ceiling and JetStream
  read    catch-up throughput and latency from append to delivery, beside JetStream

Options of both:
  --record-bytes <list>    bytes of a record's value (append 100,1000; read 100)
  --partitions <list>      partitions of the log (append 1,16; read 16)
  --batch-bytes <list>     largest batch; 1 makes every record a batch of its own (262144)
  --seconds <n>            measured time of each run (2)
  --rounds <n>             runs of each system in each case, alternating (2)
  --rate <n>               records/s where latency at a low rate is measured; 0 leaves it out (1000)
  --peers <which>          none, jetstream or all (jetstream)
  --storage-nodes <n>      storage nodes, and storage processes of the ceiling (3)
  --sequencers <n>         sequencers (1)
  --profile                then profile the first case and print where the time goes
  --json                   print the whole report as JSON
Options of append:
  --producers <n>          producers, all in one client process (1)
  --in-flight-bytes <n>    bytes handed over and unacknowledged at full load, at most 5 batches for each partition
                           and producer (4194304)
Options of read:
  --records <n>            records written and read back (2000000)
`;

const LIST_MAX = 16;
const COUNT_MAX = 1_000_000_000;

/** @throws PyralogError `invalid` naming the option. */
export function parseCommandLine(words: readonly string[]): Command {
  const { values, positionals } = parseWords(words);
  const [kind, ...more] = positionals;
  if (values.help === true) return { kind: 'help' };
  if ((kind !== 'append' && kind !== 'read') || more.length > 0) {
    throw invalid('command', 'command is none of append, read and failover', { value: positionals.join(' ') });
  }
  const isAppend = kind === 'append';
  const peers = PEERS.find((peer) => peer === (values.peers ?? 'jetstream'));
  if (peers === undefined) throw invalid('--peers', 'value is not none, jetstream or all', { value: values.peers });
  const recordBytesMax = LIMITS.recordBytesMax - 64;
  const options: CommonOptions = {
    recordBytes: list('--record-bytes', values['record-bytes'], isAppend ? [100, 1000] : [100], 1, recordBytesMax),
    partitions: list('--partitions', values.partitions, isAppend ? [1, 16] : [16], 1, 256),
    batchBytes: list('--batch-bytes', values['batch-bytes'], [262_144], 1, LIMITS.frameBytesMax - 1_024),
    seconds: number('--seconds', values.seconds, 2, 0.1, 600),
    rounds: wholeNumber('--rounds', values.rounds, 2, 1, 20),
    rate: wholeNumber('--rate', values.rate, 1_000, 0, 100_000),
    peers,
    storageNodes: wholeNumber('--storage-nodes', values['storage-nodes'], 3, 3, LIMITS.nodesetNodesMax),
    sequencers: wholeNumber('--sequencers', values.sequencers, 1, 1, 16),
    profile: values.profile ?? false,
    json: values.json ?? false,
  };
  if (isAppend) {
    if (values.records !== undefined) throw invalid('--records', 'option is one of read');
    const producers = wholeNumber('--producers', values.producers, 1, 1, 256);
    const bytesMax = LIMITS.producerInFlightBytesMax;
    const inFlightBytes = wholeNumber('--in-flight-bytes', values['in-flight-bytes'], 4_194_304, 1, bytesMax);
    return { kind, options: { ...options, producers, inFlightBytes } };
  }
  for (const name of ['producers', 'in-flight-bytes'] as const) {
    if (values[name] !== undefined) throw invalid(`--${name}`, 'option is one of append');
  }
  return { kind, options: { ...options, records: wholeNumber('--records', values.records, 2_000_000, 1, COUNT_MAX) } };
}

function parseWords(words: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        'record-bytes': text,
        partitions: text,
        'batch-bytes': text,
        seconds: text,
        rounds: text,
        rate: text,
        peers: text,
        'storage-nodes': text,
        sequencers: text,
        producers: text,
        'in-flight-bytes': text,
        records: text,
        profile: flag,
        json: flag,
        help: flag,
      },
    });
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw invalid('options', 'options are not understood', { problem });
  }
}

export function number(
  option: string,
  text: string | undefined,
  byDefault: number,
  minimum: number,
  limit: number,
): number {
  if (text === undefined) return byDefault;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(value >= minimum && value <= limit)) {
    throw invalid(option, 'value is not a number within its limits', { value: text, minimum, limit });
  }
  return value;
}

export function wholeNumber(
  option: string,
  text: string | undefined,
  byDefault: number,
  minimum: number,
  limit: number,
): number {
  const value = number(option, text, byDefault, minimum, limit);
  if (!Number.isInteger(value)) throw invalid(option, 'value is not a whole number', { value: text });
  return value;
}

function list(
  option: string,
  text: string | undefined,
  byDefault: readonly number[],
  minimum: number,
  limit: number,
): readonly number[] {
  if (text === undefined) return byDefault;
  const parts = text.split(',');
  if (parts.length > LIST_MAX) throw invalid(option, 'list is too long', { length: parts.length, limit: LIST_MAX });
  return parts.map((part) => wholeNumber(option, part, 0, minimum, limit));
}
