/** Pyralog itself: a local cluster of real processes, loaded and read through the client. */
import { join } from 'node:path';
import { connect, type PyralogClient } from '@pyralog/client';
import { type LocalCluster, startLocalCluster } from '@pyralog/infra';
import type { Logger } from '@pyralog/shared/core';
import type { LoadResult, WindowObserver } from '../load/load-plan.ts';
import type { PyralogLoadSettings, PyralogLoadTask } from '../load/pyralog-load.ts';
import type { PyralogReadSettings, PyralogReadTask } from '../load/pyralog-read.ts';
import type { CatchUpResult } from '../load/read-result.ts';
import type { TailPlan, TailResult } from '../load/tail.ts';
import { Worker } from '../load/worker.ts';
import {
  type CatchUpMeasurement,
  type LoadMeasurement,
  measureCatchUp,
  measureLoad,
  measureTail,
  type TailMeasurement,
} from '../measure/measurement.ts';
import type { RoleProcess } from '../measure/processes.ts';

export const REPLICATION_FACTOR = 3;
export const WRITE_QUORUM = 2;

export interface PyralogOptions {
  readonly directory: string;
  readonly storageNodes: number;
  readonly sequencers: number;
  readonly logger: Logger;
  /** More for every process. */
  readonly environment: Readonly<Record<string, string>>;
}

export class Pyralog {
  readonly #cluster: LocalCluster;
  readonly #client: PyralogClient;
  readonly #load: Worker<PyralogLoadTask, LoadResult>;
  readonly #settings: PyralogLoadSettings & PyralogReadSettings;
  readonly #environment: Readonly<Record<string, string>>;
  #logs = 0;

  private constructor(
    cluster: LocalCluster,
    client: PyralogClient,
    load: Worker<PyralogLoadTask, LoadResult>,
    settings: PyralogLoadSettings & PyralogReadSettings,
    environment: Readonly<Record<string, string>>,
  ) {
    this.#cluster = cluster;
    this.#client = client;
    this.#load = load;
    this.#settings = settings;
    this.#environment = environment;
  }

  static async start(options: PyralogOptions): Promise<Pyralog> {
    const { storageNodes, sequencers, logger, environment } = options;
    const directory = join(options.directory, 'pyralog');
    const cluster = await startLocalCluster({ directory, storageNodes, sequencers, port: 0, logger, environment });
    let client: PyralogClient | undefined;
    try {
      const settings = { natsUrl: cluster.natsUrl, clusterName: cluster.clusterName };
      client = await connect({ url: cluster.natsUrl, clusterName: cluster.clusterName, name: 'bench' });
      const load = await Worker.start<PyralogLoadTask, LoadResult>('pyralog-load', settings, environment);
      return new Pyralog(cluster, client, load, settings, environment);
    } catch (error) {
      await client?.close();
      await cluster.stop();
      throw error;
    }
  }

  get natsUrl(): string {
    return this.#cluster.natsUrl;
  }

  get natsPid(): number {
    return this.pidOf('nats-1');
  }

  get clientPid(): number {
    return this.#load.pid;
  }

  get processes(): readonly RoleProcess[] {
    return this.#cluster.processes;
  }

  pidOf(id: string): number {
    return this.#cluster.process(id).pid;
  }

  async createLog(partitions: number): Promise<string> {
    const log = `bench/log-${++this.#logs}`;
    const quorum = { replicationFactor: REPLICATION_FACTOR, writeQuorum: WRITE_QUORUM };
    await this.#client.admin.createLog(log, { partitions, ...quorum, durability: 'fsync' });
    return log;
  }

  measureAppend(task: PyralogLoadTask, observer?: WindowObserver): Promise<LoadMeasurement> {
    return measureLoad(this.#load, task, this.processes, observer);
  }

  /** Reads the log from its beginning to its end, `rounds` times, in one process. */
  measureCatchUp(options: { readonly log: string; readonly rounds: number }): Promise<CatchUpMeasurement[]> {
    const { log, rounds } = options;
    return this.#withReader<CatchUpResult, CatchUpMeasurement[]>(async (reader) => {
      const measurements: CatchUpMeasurement[] = [];
      for (let round = 0; round < rounds; round++) {
        measurements.push(await measureCatchUp(reader, { kind: 'catch-up', log }, this.processes));
      }
      return measurements;
    });
  }

  /** Gives `profile` the pid of a reader, and what has it read the log. */
  profileCatchUp(
    log: string,
    profile: (readerPid: number, read: (observer: WindowObserver) => Promise<unknown>) => Promise<void>,
  ): Promise<void> {
    return this.#withReader<CatchUpResult, void>((reader) =>
      profile(reader.pid, (observer) => reader.run({ kind: 'catch-up', log }, observer)),
    );
  }

  measureTail(log: string, partitions: number, plan: TailPlan): Promise<TailMeasurement> {
    return this.#withReader<TailResult, TailMeasurement>((reader) =>
      measureTail(reader, { kind: 'tail', log, partitions, plan }, this.processes),
    );
  }

  async stop(): Promise<void> {
    await this.#load.stop();
    await this.#client.close();
    await this.#cluster.stop();
  }

  async #withReader<Result, Measured>(
    use: (reader: Worker<PyralogReadTask, Result>) => Promise<Measured>,
  ): Promise<Measured> {
    const reader = await Worker.start<PyralogReadTask, Result>('pyralog-read', this.#settings, this.#environment);
    try {
      return await use(reader);
    } finally {
      await reader.stop();
    }
  }
}
