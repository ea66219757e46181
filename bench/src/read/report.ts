/** The report of `read`: every run. */
import type { ReadOptions } from '../command-line.ts';
import type { Machine } from '../measure/machine.ts';
import type { CatchUpMeasurement, TailMeasurement } from '../measure/measurement.ts';
import type { Profile } from '../profile/self-times.ts';

/** `jetstream-…`: by `sync_interval`. */
export type ReadSystem = 'pyralog' | 'jetstream-always' | 'jetstream-default';

export interface ReadCase {
  readonly recordBytes: number;
  readonly partitions: number;
  /** Of the batches in which Pyralog's records were written. */
  readonly batchBytes: number;
}

export type CatchUpRun = { readonly system: ReadSystem; readonly round: number } & CatchUpMeasurement;
export type TailRun = { readonly system: ReadSystem } & TailMeasurement;

export interface ReadCaseReport extends ReadCase {
  readonly catchUp: readonly CatchUpRun[];
  readonly tail: readonly TailRun[];
}

export interface ReadReport {
  readonly benchmark: 'read';
  readonly startedAt: string;
  readonly machine: Machine;
  readonly options: ReadOptions;
  readonly cases: readonly ReadCaseReport[];
  /** By process, with `--profile`. */
  readonly profiles?: Readonly<Record<string, Profile>>;
}
