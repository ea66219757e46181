/** Reads back everything that was appended during the events, and compares. */
import type { PyralogClient } from '@pyralog/client';
import { assert } from '@pyralog/shared/core';
import type { CheckReport } from './report.ts';
import { decodeProbe, type TrickleTotals } from './trickle-task.ts';

export async function checkLog(client: PyralogClient, log: string, totals: TrickleTotals): Promise<CheckReport> {
  const { appended, failed, firstFailure, outOfOrder } = totals;
  /** Next expected sequence of each partition. */
  const next = appended.map(() => 0);
  const passedOver = new Set<string>();
  let read = 0;
  let repeated = 0;
  for await (const { partition, value } of client.reader(log, { from: 'earliest', follow: false })) {
    assert(value !== undefined, 'record without a value');
    const probe = decodeProbe(value);
    const expected = next[partition];
    assert(probe.partition === partition && expected !== undefined, 'record is in another partition');
    read++;
    if (probe.sequence < expected) {
      repeated++;
      continue;
    }
    for (let sequence = expected; sequence < probe.sequence; sequence++) passedOver.add(`${partition} ${sequence}`);
    next[partition] = probe.sequence + 1;
  }
  for (const [partition, count] of appended.entries()) {
    for (let sequence = next[partition] ?? 0; sequence < count; sequence++) passedOver.add(`${partition} ${sequence}`);
  }
  for (const [partition, sequence] of failed) passedOver.delete(`${partition} ${sequence}`);
  return {
    appended: appended.reduce((sum, count) => sum + count, 0),
    read,
    failedCalls: failed.length,
    firstFailure,
    missing: passedOver.size,
    repeated,
    outOfOrder,
  };
}
