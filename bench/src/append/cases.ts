/**
 * What `append` measures: every combination of its options at full load, then, with the first number of partitions,
 * single records at a low rate.
 */
import { LIMITS } from '@pyralog/shared/core';
import type { AppendOptions } from '../command-line.ts';
import { batchShape } from '../load/batch-shape.ts';
import type { AppendCase } from './report.ts';

/** Makes every record a batch of its own. */
const SINGLE_RECORD_BATCH_BYTES = 1;

export function appendCases(options: AppendOptions): AppendCase[] {
  const cases: AppendCase[] = [];
  for (const recordBytes of options.recordBytes) {
    for (const partitions of options.partitions) {
      for (const batchBytes of options.batchBytes) {
        const shape = batchShape(recordBytes, batchBytes);
        const byPartition = LIMITS.producerBatchesRemembered * partitions * options.producers;
        const byBytes = Math.max(1, Math.floor(options.inFlightBytes / shape.frameBytes));
        cases.push({ ...shape, load: 'full', partitions, batchesInFlight: Math.min(byPartition, byBytes) });
      }
    }
  }
  const [partitions] = options.partitions;
  if (options.rate === 0 || partitions === undefined) return cases;
  for (const recordBytes of options.recordBytes) {
    const shape = batchShape(recordBytes, SINGLE_RECORD_BATCH_BYTES);
    cases.push({ ...shape, load: 'paced', partitions, batchesInFlight: 0 });
  }
  return cases;
}
