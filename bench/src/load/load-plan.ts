/** How a load process puts load on its system, and what comes of it. Times in milliseconds. */
import type { LatencyMs } from '../measure/latency.ts';

export type LoadPlan =
  | {
      /** As fast as acknowledgements allow with so many batches unacknowledged. */
      readonly kind: 'full';
      readonly batchesInFlight: number;
      /** Load without measuring, first. */
      readonly warmupMs: number;
      readonly measureMs: number;
    }
  | {
      /** On a fixed schedule, whether or not earlier batches were acknowledged. */
      readonly kind: 'paced';
      readonly batchesPerSecond: number;
      readonly warmupMs: number;
      readonly measureMs: number;
    }
  | {
      /** So many batches, as fast as `full`, all of them measured. */
      readonly kind: 'count';
      readonly batchesInFlight: number;
      readonly batches: number;
    };

export interface LoadResult {
  /** Length of the window, as measured. */
  readonly seconds: number;
  /** Batches acknowledged within the window. */
  readonly batches: number;
  /** From the batch being handed over to its acknowledgement. */
  readonly latencyMs: LatencyMs;
}

/** A system under load. */
export interface LoadTarget {
  /** Hands over one batch. `acknowledged` is called once, later, with an error when there will be no acknowledgement. */
  send(acknowledged: (error?: Error) => void): void;
  close(): Promise<void>;
}

/** Called when the measured window opens and closes. */
export interface WindowObserver {
  opened(): void;
  closed(): void;
}
