/** The report of `append`: every run, and what follows from them. */
import type { AppendOptions } from '../command-line.ts';
import type { Machine } from '../measure/machine.ts';
import type { LoadMeasurement } from '../measure/measurement.ts';
import type { Profile } from '../profile/self-times.ts';

/**
 * `ceiling`: nats.js and Node.js as they come; `ceiling-tuned`: with Pyralog's transport and collector settings.
 * `jetstream-…`: by `sync_interval`; a message is a record. `…-batched`: a message is as large as a batch of Pyralog, as
 * when applications pack their records themselves.
 */
export const SYSTEMS = [
  'ceiling',
  'ceiling-tuned',
  'pyralog',
  'jetstream-always',
  'jetstream-always-batched',
  'jetstream-default',
  'jetstream-default-batched',
] as const;
export type SystemName = (typeof SYSTEMS)[number];

/** What is compared with each other. */
export interface AppendCase {
  /** `full`: as fast as it goes. `paced`: single records at `options.rate`. */
  readonly load: 'full' | 'paced';
  readonly recordBytes: number;
  readonly partitions: number;
  readonly batchBytes: number;
  readonly recordsPerBatch: number;
  readonly frameBytes: number;
  /** Of ceiling, Pyralog and batched JetStream at full load; 0 for `paced`, where it is not bounded. */
  readonly batchesInFlight: number;
}

export interface AppendRun extends LoadMeasurement {
  readonly system: SystemName;
  readonly round: number;
  /** Of one storage process of the ceiling. */
  readonly bytesPerCommit?: number;
}

export interface AppendCaseReport extends AppendCase {
  /** In the order in which they were run. */
  readonly runs: readonly AppendRun[];
  /** Means over the rounds. */
  readonly recordsPerSecond: Readonly<Partial<Record<SystemName, number>>>;
  /** Pyralog's records/s divided by that of each other system. */
  readonly ratioTo: Readonly<Partial<Record<SystemName, number>>>;
}

export interface AppendReport {
  readonly benchmark: 'append';
  readonly startedAt: string;
  readonly machine: Machine;
  readonly options: AppendOptions;
  readonly cases: readonly AppendCaseReport[];
  /** By process, with `--profile`. */
  readonly profiles?: Readonly<Record<string, Profile>>;
}

export function reportCase(appendCase: AppendCase, runs: readonly AppendRun[]): AppendCaseReport {
  const recordsPerSecond: Partial<Record<SystemName, number>> = {};
  const ratioTo: Partial<Record<SystemName, number>> = {};
  for (const system of SYSTEMS) {
    const rates = runs.filter((run) => run.system === system).map((run) => run.recordsPerSecond);
    if (rates.length > 0) recordsPerSecond[system] = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  }
  const { pyralog } = recordsPerSecond;
  for (const system of SYSTEMS) {
    const other = recordsPerSecond[system];
    if (pyralog !== undefined && other !== undefined && system !== 'pyralog') ratioTo[system] = pyralog / other;
  }
  return { ...appendCase, runs, recordsPerSecond, ratioTo };
}
