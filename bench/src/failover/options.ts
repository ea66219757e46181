/** What is typed after `npm run bench -- failover`. */
import { parseArgs } from 'node:util';
import { invalid, LIMITS } from '@pyralog/shared/core';
import { number, wholeNumber } from '../command-line.ts';

/** In the order in which they are run. `failures` and `handovers` share a cluster. */
export const PARTS = ['failures', 'handovers', 'density', 'consensus'] as const;
export type Part = (typeof PARTS)[number];

export interface FailoverOptions {
  readonly parts: readonly Part[];
  /** Of the log that is appended to while sequencers come and go. */
  readonly partitions: number;
  /** Appends a second over all of those partitions, the probed ones aside. */
  readonly rate: number;
  /** Partitions that are appended to every `PROBE_INTERVAL_MS`. */
  readonly probes: number;
  /** Partitions of the log that one sequencer has for itself. */
  readonly density: number;
  /** Batches of one record in flight where epochs are compared with consensus per record. */
  readonly concurrency: number;
  /** Times that everything is done. */
  readonly rounds: number;
  /** Measured time of each run under full load. */
  readonly seconds: number;
  readonly json: boolean;
}

export const FAILOVER_USAGE = `
       npm run bench -- failover [options]

  failover  how long appends wait when sequencers are killed, hang or hand over; a thousand partitions on one
            sequencer; epochs beside consensus per record

Options of failover:
  --only <list>            parts to run: failures, handovers, density, consensus (all)
  --partitions <n>         partitions of the log that is appended to all the time (500)
  --rate <n>               appends a second over them, each of one record (600)
  --probes <n>             some of them are appended to every 20 ms instead (8)
  --density <n>            partitions on one sequencer (1000)
  --concurrency <n>        records in flight beside consensus per record (64)
  --rounds <n>             times that everything is done (2)
  --seconds <n>            measured time of each run under full load (3)
  --json                   print the whole report as JSON
`;

/** @throws PyralogError `invalid` naming the option. */
export function parseFailoverOptions(words: readonly string[]): FailoverOptions {
  const values = parseWords(words);
  const partitions = wholeNumber('--partitions', values.partitions, 500, 2, LIMITS.logPartitionsMax);
  return {
    parts: parseParts(values.only),
    partitions,
    rate: wholeNumber('--rate', values.rate, 600, 1, 100_000),
    probes: wholeNumber('--probes', values.probes, Math.min(8, partitions), 0, partitions),
    density: wholeNumber('--density', values.density, 1_000, 8, LIMITS.logPartitionsMax),
    concurrency: wholeNumber('--concurrency', values.concurrency, 64, 1, 4_096),
    rounds: wholeNumber('--rounds', values.rounds, 2, 1, 20),
    seconds: number('--seconds', values.seconds, 3, 0.1, 600),
    json: values.json ?? false,
  };
}

function parseParts(text: string | undefined): readonly Part[] {
  if (text === undefined) return PARTS;
  const names = text.split(',');
  for (const name of names) {
    if (!PARTS.some((part) => part === name)) {
      throw invalid('--only', 'part is none of failures, handovers, density, consensus', { value: name });
    }
  }
  return PARTS.filter((part) => names.includes(part));
}

function parseWords(words: readonly string[]) {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...words],
      options: {
        only: text,
        partitions: text,
        rate: text,
        probes: text,
        density: text,
        concurrency: text,
        rounds: text,
        seconds: text,
        json: { type: 'boolean' },
      },
    }).values;
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw invalid('options', 'options are not understood', { problem });
  }
}
