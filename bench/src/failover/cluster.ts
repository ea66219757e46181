/** A cluster whose sequencers come and go, and what can be asked of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type PyralogClient } from '@pyralog/client';
import { type ClusterProcess, type LocalCluster, startLocalCluster } from '@pyralog/infra';
import { type Logger, PyralogError } from '@pyralog/shared/core';
import { REPLICATION_FACTOR, WRITE_QUORUM } from '../systems/pyralog.ts';
import type { SequencerWrites } from './sequencer-writes.ts';

const POLL_MS = 25;
const DEADLINE_MS = 120_000;
/** Ownership that has not changed for so long has settled: sequencers hand over when they have seen no change for 2 s. */
const UNCHANGED_MS = 1_000;

export interface FailoverClusterOptions {
  readonly directory: string;
  readonly storageNodes: number;
  readonly sequencers: number;
  readonly logger: Logger;
  readonly writes: SequencerWrites;
}

export class FailoverCluster {
  readonly local: LocalCluster;
  readonly client: PyralogClient;
  readonly #stopWatching: () => void;

  private constructor(local: LocalCluster, client: PyralogClient, stopWatching: () => void) {
    this.local = local;
    this.client = client;
    this.#stopWatching = stopWatching;
  }

  static async start(options: FailoverClusterOptions): Promise<FailoverCluster> {
    const { writes, ...rest } = options;
    const local = await startLocalCluster({ ...rest, port: 0 });
    const stopWatching = writes.watch(local.sequencers);
    try {
      const client = await connect({ url: local.natsUrl, clusterName: local.clusterName, name: 'bench' });
      return new FailoverCluster(local, client, stopWatching);
    } catch (error) {
      stopWatching();
      await local.stop();
      throw error;
    }
  }

  async createLog(log: string, partitions: number): Promise<void> {
    const quorum = { replicationFactor: REPLICATION_FACTOR, writeQuorum: WRITE_QUORUM };
    await this.client.admin.createLog(log, { partitions, ...quorum, durability: 'fsync' });
  }

  sequencer(id: string): ClusterProcess {
    return this.local.process(id);
  }

  /** Partitions of `log` that `sequencerId` owns. */
  async ownedBy(log: string, sequencerId: string): Promise<ReadonlySet<number>> {
    const { partitions } = await this.client.admin.describeLog(log);
    return new Set(partitions.flatMap((each) => (each.sequencerId === sequencerId ? [each.partition] : [])));
  }

  /** Partitions that each live sequencer holds, by its own word. */
  async held(): Promise<ReadonlyMap<string, number>> {
    const { processes } = await this.client.admin.clusterStatus();
    const held = new Map<string, number>();
    for (const { alive, heartbeat } of processes) {
      if (alive && heartbeat.role === 'sequencer') held.set(heartbeat.id, heartbeat.partitions);
    }
    return held;
  }

  /** Resolves when `sequencerIds`, and no others, hold `partitions`, each some, and that has been so for a while. */
  async settled(sequencerIds: readonly string[], partitions: number): Promise<void> {
    let last = '';
    let sinceMs = performance.now();
    await this.until('ownership has not settled', async () => {
      const held = await this.held();
      const now = performance.now();
      const counts = JSON.stringify([...held].sort());
      if (counts !== last) sinceMs = now;
      last = counts;
      const holders = [...held].filter(([, count]) => count > 0).map(([id]) => id);
      const total = [...held.values()].reduce((sum, count) => sum + count, 0);
      const asWanted = holders.length === sequencerIds.length && holders.every((id) => sequencerIds.includes(id));
      return asWanted && total === partitions && now - sinceMs >= UNCHANGED_MS;
    });
  }

  /** @throws PyralogError `timeout` when `condition` does not come to hold. */
  async until(problem: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      try {
        if (await condition()) return;
      } catch (error) {
        // While sequencers come and go, there may be none that answers.
        if (!(error instanceof PyralogError) || error.retry === 'never') throw error;
      }
      if (performance.now() > deadline) {
        throw new PyralogError({ code: 'timeout', message: problem, fields: { withinMs: DEADLINE_MS } });
      }
      await sleep(POLL_MS);
    }
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.local.stop();
    this.#stopWatching();
  }
}
