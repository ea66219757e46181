/** What the trickle's process is told, and what it answers. Times are those of `monotonicMs`. */

export interface TrickleSettings {
  readonly natsUrl: string;
  readonly clusterName: string;
}

/** How often a probed partition is appended to. */
export const PROBE_INTERVAL_MS = 20;

/** An append is sent to every partition within this time of a failure: the trickle comes by too seldom to time it. */
export const SWEEP_MS = 50;

export interface TrickleLoad {
  readonly log: string;
  readonly partitions: number;
  /** Over all partitions that are not probed, each in its turn. */
  readonly appendsPerSecond: number;
  /** So many partitions, spread over all, are appended to every `PROBE_INTERVAL_MS` instead. */
  readonly probes: number;
}

export type TrickleTask =
  | ({ readonly kind: 'begin' } & TrickleLoad)
  /** Forgets what was observed so far. */
  | { readonly kind: 'mark' }
  /** Appends to every partition once, out of turn, spread over `SWEEP_MS`. */
  | { readonly kind: 'sweep' }
  /** Waits until every partition has acknowledged an append that was sent after `sinceMs`, for at most `timeoutMs`. */
  | { readonly kind: 'collect'; readonly sinceMs: number; readonly timeoutMs: number }
  | { readonly kind: 'end' };

/** What one partition went through between `mark` and `collect`. */
export interface PartitionTrace {
  readonly partition: number;
  readonly isProbed: boolean;
  /** From `sinceMs` to the first acknowledgement of an append sent after it; `undefined` when there was none. */
  readonly recoveredMs: number | undefined;
  /** From an append's call to its acknowledgement, the longest. */
  readonly longestWaitMs: number;
  /** Between two acknowledgements, the longest: the interval of the appends is in it. */
  readonly longestSilenceMs: number;
  readonly acknowledged: number;
  readonly failed: number;
  /** Epoch of the last acknowledgement before `mark`, and of the last one. */
  readonly epochBefore: number;
  readonly epochAfter: number;
}

/** Everything that was appended. Record n of partition p has the value `encodeProbe(p, n)`. */
export interface TrickleTotals {
  /** Records by partition, acknowledged or not. */
  readonly appended: readonly number[];
  /** Calls that failed: `[partition, n]`. */
  readonly failed: readonly (readonly [partition: number, sequence: number])[];
  readonly firstFailure: string | undefined;
  /** Acknowledgements whose offset or epoch is not after that of the append before. */
  readonly outOfOrder: number;
}

export type TrickleResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'traces'; readonly traces: readonly PartitionTrace[] }
  | { readonly kind: 'totals'; readonly totals: TrickleTotals };

/** Of a record's value, bytes. */
const VALUE_BYTES = 100;

export function encodeProbe(partition: number, sequence: number): Uint8Array {
  const value = new Uint8Array(VALUE_BYTES);
  const view = new DataView(value.buffer);
  view.setUint32(0, partition, true);
  view.setUint32(4, sequence, true);
  return value;
}

export function decodeProbe(value: Uint8Array): { partition: number; sequence: number } {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return { partition: view.getUint32(0, true), sequence: view.getUint32(4, true) };
}
