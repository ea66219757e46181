/** Faults in a row on a cluster under load, and the verdict on the history. */
import { connect, type PyralogClient } from '@pyralog/client';
import type { LocalCluster } from '@pyralog/infra';
import { silentLogger } from '@pyralog/shared/core';
import { connectNats } from '@pyralog/shared/node';
import { Appender, readAll, seenBy } from '../support/appended.ts';
import { Duplicator } from '../support/duplicator.ts';
import { violations } from '../support/history.ts';
import { compareReplicas } from '../support/replicas.ts';
import { Seeded } from '../support/seeded.ts';
import { FAULTS } from './faults.ts';

export interface TortureOptions {
  readonly cluster: LocalCluster;
  readonly seed: number;
  readonly milliseconds: number;
  readonly onFault?: (name: string) => void;
}

export interface TortureReport {
  readonly faults: Readonly<Record<string, number>>;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  /** Messages between services that were sent again, late. */
  readonly repeatedMessages: number;
  readonly epochs: number;
  /** Longest time without any acknowledgement, milliseconds. */
  readonly longestSilenceMs: number;
  /** What the history violates; empty when it is sound. */
  readonly violations: readonly string[];
}

const LOG = 'torture/log';
const PARTITIONS = 8;
const CALM_MS_MAX = 1_500;
const WAIT_MS_MAX = 60_000;

export async function torture({ cluster, seed, milliseconds, onFault }: TortureOptions): Promise<TortureReport> {
  const random = new Seeded(seed);
  const client = await connect({ url: cluster.natsUrl, clusterName: cluster.clusterName });
  const other = await connect({ url: cluster.natsUrl, clusterName: cluster.clusterName });
  const raw = await connectNats({ url: cluster.natsUrl, name: 'torture', logger: silentLogger });
  const duplicator = new Duplicator(raw, new Seeded(seed + 1));
  try {
    await client.admin.createLog(LOG, { partitions: PARTITIONS });
    await wait('every partition is served', () => served(client));
    const appenders = [client, other].map(
      (each, index) => new Appender(each, LOG, { concurrency: 20, name: `a${index}` }),
    );
    const total = (): number => appenders.reduce((sum, appender) => sum + appender.acknowledgements, 0);
    await wait('appends before the first fault', () => total() > 100);
    const faults: Record<string, number> = {};
    const until = performance.now() + milliseconds;
    while (performance.now() < until) {
      const fault = random.pick(FAULTS);
      onFault?.(fault.name);
      faults[fault.name] = (faults[fault.name] ?? 0) + 1;
      await fault.run(cluster, random);
      const before = total();
      await wait(`appends after: ${fault.name}`, () => total() > before + 100).catch(async (error: unknown) => {
        throw new Error(`${String(error)}: ${await situation(client)}`);
      });
      await new Promise((resolve) => setTimeout(resolve, random.whole(0, CALM_MS_MAX)));
    }
    await wait('every partition is served again', () => served(client));
    await Promise.all(appenders.map((appender) => appender.stop()));
    duplicator.stop();
    const appends = appenders.flatMap((appender) => appender.appends);
    const readers = [seenBy(await readAll(client, LOG)), seenBy(await readAll(other, LOG))];
    const { conflicts, copies } = await compareReplicas(client, raw, LOG);
    const thin = [...copies].filter(([, count]) => count < 2).map(([batch]) => `${batch} has fewer than W copies`);
    const { partitions } = await client.admin.describeLog(LOG);
    const count = (outcome: string): number => appends.filter((append) => append.outcome === outcome).length;
    return {
      faults,
      acknowledged: count('acknowledged'),
      refused: count('refused'),
      unknown: count('unknown'),
      repeatedMessages: duplicator.repeated,
      epochs: partitions.reduce((sum, { lastEpoch }) => sum + lastEpoch, 0),
      longestSilenceMs: longestSilence(
        appends.flatMap(({ outcome, settledAtMs }) =>
          outcome === 'acknowledged' && settledAtMs !== undefined ? [settledAtMs] : [],
        ),
      ),
      violations: [...violations(appends, readers), ...conflicts, ...thin],
    };
  } finally {
    duplicator.stop();
    await Promise.all([client.close(), other.close(), raw.close()]);
  }
}

/** What the partitions wait for, for whoever reads a failure. */
async function situation(client: PyralogClient): Promise<string> {
  const { partitions } = await client.admin.describeLog(LOG);
  return partitions
    .map(({ partition, state, sequencerId, lastEpoch, status, recovery, claim }) => {
      const known = { partition, state, sequencerId, lastEpoch, claim: claim?.sequencerId, recovery };
      return JSON.stringify({ ...known, released: status?.releasedOffset, next: status?.nextOffset });
    })
    .join(' ');
}

async function served(client: PyralogClient): Promise<boolean> {
  const { partitions } = await client.admin.describeLog(LOG);
  return partitions.every(({ status }) => status !== undefined);
}

function longestSilence(times: number[]): number {
  times.sort((a, b) => a - b);
  return Math.round(times.reduce((longest, time, index) => Math.max(longest, time - (times[index - 1] ?? time)), 0));
}

/** @throws Error naming what was waited for in vain. */
async function wait(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + WAIT_MS_MAX;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    if (performance.now() > until) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
