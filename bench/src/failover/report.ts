/** The report of `failover`: every event of every round, and what follows from them. Times in milliseconds. */
import type { LatencyMs } from '../measure/latency.ts';
import type { Machine } from '../measure/machine.ts';
import type { LoadMeasurement, Usage } from '../measure/measurement.ts';
import type { FailoverOptions } from './options.ts';

/** The log without any event. */
export interface CalmReport extends Usage {
  readonly seconds: number;
  readonly appendsPerSecond: number;
  /** The longest wait of each partition. */
  readonly waitMs: LatencyMs;
}

/** Someone else must recover the partitions of the sequencer. */
export const FAILURES = ['kill', 'hang'] as const;
/** The sequencer hands its partitions over, or gets them handed. */
export const HANDOVERS = ['return', 'wake', 'drain', 'resume', 'terminate'] as const;
export type FailoverEvent = (typeof FAILURES)[number] | (typeof HANDOVERS)[number];

/** What one event did to the partitions that changed hands because of it. */
export interface EventReport {
  readonly event: FailoverEvent;
  readonly round: number;
  readonly sequencerId: string;
  readonly partitions: number;
  /** From the event to a partition's first acknowledgement of an append that was sent after it. Failures only. */
  readonly recoveredMs: LatencyMs | undefined;
  /** Partitions that did not recover at all. */
  readonly unrecovered: number;
  /** The longest that an append to a partition waited for its acknowledgement. */
  readonly waitMs: LatencyMs;
  /** The same of the partitions that are appended to every few milliseconds: few, but none of the gap is missed. */
  readonly probedWaitMs: LatencyMs;
  /** The longest time without acknowledgement of those partitions. */
  readonly probedSilenceMs: LatencyMs;
  /** The longest wait in any partition that did not change hands. */
  readonly othersWaitMs: number;
  readonly failedCalls: number;
  /** Epochs of the woken sequencer that storage nodes refused. `wake` only. */
  readonly fencedEpochs?: number;
}

/** What came of everything that was appended during all events. */
export interface CheckReport {
  readonly appended: number;
  readonly read: number;
  readonly failedCalls: number;
  readonly firstFailure: string | undefined;
  /** Acknowledged, and not read back. */
  readonly missing: number;
  /** Read twice, or not in the order in which they were appended. */
  readonly repeated: number;
  /** Acknowledgements whose offset or epoch went back. */
  readonly outOfOrder: number;
}

/** One sequencer with all partitions of a log. */
export interface ActivationReport {
  readonly round: number;
  /** How its process before had ended. */
  readonly after: 'terminate' | 'kill';
  readonly partitions: number;
  /** From the start of the process until it says that it is ready, and until it serves all partitions. */
  readonly readyMs: number;
  readonly activatedMs: number;
  /** From the start of the process until the last partition has acknowledged an append. */
  readonly acknowledgedMs: number;
  /** Resident memory of the sequencer then, bytes. */
  readonly memoryBytes: number;
}

export interface DensityRun extends LoadMeasurement {
  readonly round: number;
  readonly partitions: number;
  readonly recordsPerBatch: number;
}

export interface DensityReport {
  readonly activations: readonly ActivationReport[];
  readonly runs: readonly DensityRun[];
  /** Records/s with all partitions divided by that with few, by round and size of the batches. */
  readonly ratios: readonly { readonly round: number; readonly recordsPerBatch: number; readonly ratio: number }[];
}

export const CONSENSUS_SYSTEMS = ['pyralog', 'jetstream-always', 'jetstream-default'] as const;
export type ConsensusSystem = (typeof CONSENSUS_SYSTEMS)[number];

/** Single records: a message of a stream of three replicas, or a batch of a partition. */
export interface ConsensusRun extends LoadMeasurement {
  readonly system: ConsensusSystem;
  readonly round: number;
  /** Or streams. */
  readonly partitions: number;
}

export interface Goal {
  readonly name: string;
  readonly unit: string;
  readonly goal: { readonly kind: 'at-most' | 'at-least'; readonly value: number };
  /** One for each run, in the order in which they were made. */
  readonly measured: readonly number[];
  readonly best: number;
  readonly met: boolean;
}

export interface FailoverReport {
  readonly benchmark: 'failover';
  readonly startedAt: string;
  readonly machine: Machine;
  readonly options: FailoverOptions;
  readonly calm?: CalmReport;
  readonly events: readonly EventReport[];
  readonly check?: CheckReport;
  readonly density?: DensityReport;
  readonly consensus?: readonly ConsensusRun[];
  /** By all sequencers of all clusters, together. */
  readonly sequencerWrites: { readonly processes: number; readonly bytes: number };
  readonly goals: readonly Goal[];
}
