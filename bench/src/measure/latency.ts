/** Latencies in an HDR histogram of whole microseconds, three significant digits. */
import { build, type Histogram } from 'hdr-histogram-js';

export interface LatencyMs {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Longer ones count as this long. */
const LATENCY_US_MAX = 120_000_000;

export class LatencyRecorder {
  readonly #histogram: Histogram = build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_US_MAX,
    numberOfSignificantValueDigits: 3,
  });

  record(milliseconds: number): void {
    this.#histogram.recordValue(Math.min(LATENCY_US_MAX, Math.max(0, Math.round(milliseconds * 1_000))));
  }

  summary(): LatencyMs {
    const histogram = this.#histogram;
    const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1_000;
    if (histogram.totalCount === 0) return { count: 0, p50: 0, p99: 0, p999: 0, max: 0 };
    return { count: histogram.totalCount, p50: at(50), p99: at(99), p999: at(99.9), max: histogram.maxValue / 1_000 };
  }
}
