/** The peer: JetStream, three servers of the same binary, streams of three replicas on file storage. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NatsCluster, startNatsCluster } from '@pyralog/infra';
import { type Logger, PyralogError, silentLogger } from '@pyralog/shared/core';
import { connectNats, type NatsTransport } from '@pyralog/shared/node';
import { StorageType } from 'nats';
import type { BatchShape } from '../load/batch-shape.ts';
import type { JetStreamLoadSettings, JetStreamLoadTask } from '../load/jetstream-load.ts';
import type { JetStreamReadSettings, JetStreamReadTask, PeerStream } from '../load/jetstream-read.ts';
import type { LoadPlan, LoadResult } from '../load/load-plan.ts';
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

/** `always`: synced before it is acknowledged. `default`: every two minutes. */
export const SYNC_INTERVALS = ['always', 'default'] as const;
export type SyncInterval = (typeof SYNC_INTERVALS)[number];

const SERVERS = 3;
const READY_WITHIN_MS = 20_000;

/** Streams, one for each partition of the log that they are compared with, and the server to connect to. */
interface Streams {
  readonly streams: readonly PeerStream[];
  /** Of the leader of the first stream. */
  readonly natsUrl: string;
}

export class JetStream {
  readonly syncInterval: SyncInterval;
  readonly #cluster: NatsCluster;
  #created = 0;

  private constructor(syncInterval: SyncInterval, cluster: NatsCluster) {
    this.syncInterval = syncInterval;
    this.#cluster = cluster;
  }

  /** Resolves when streams of three replicas can be placed. */
  static async start(options: {
    readonly directory: string;
    readonly syncInterval: SyncInterval;
    readonly logger: Logger;
  }): Promise<JetStream> {
    const { syncInterval, logger } = options;
    const directory = join(options.directory, `jetstream-${syncInterval}`);
    const jetstream = new JetStream(
      syncInterval,
      await startNatsCluster({ directory, servers: SERVERS, syncInterval, logger }),
    );
    try {
      await jetstream.#ready();
    } catch (error) {
      await jetstream.stop();
      throw error;
    }
    return jetstream;
  }

  get processes(): readonly RoleProcess[] {
    return this.#cluster.servers.map(({ pid }): RoleProcess => ({ role: 'nats-server', pid }));
  }

  /** Publishes to new streams. */
  measureAppend(streams: number, shape: BatchShape, plan: LoadPlan): Promise<LoadMeasurement> {
    return this.#withStreams(streams, (created) => this.#append(created, shape, plan));
  }

  /** Publishes `records` to new streams, then reads them back, `rounds` times. */
  measureCatchUp(options: {
    readonly streams: number;
    readonly shape: BatchShape;
    readonly plan: LoadPlan & { readonly kind: 'count' };
    readonly rounds: number;
  }): Promise<CatchUpMeasurement[]> {
    const { shape, plan, rounds } = options;
    return this.#withStreams(options.streams, async (created) => {
      await this.#append(created, shape, plan);
      const settings: JetStreamReadSettings = { natsUrl: created.natsUrl };
      const worker = await Worker.start<JetStreamReadTask, CatchUpResult>('jetstream-read', settings);
      try {
        const measurements: CatchUpMeasurement[] = [];
        for (let round = 0; round < rounds; round++) {
          const task: JetStreamReadTask = { kind: 'catch-up', streams: created.streams, records: plan.batches };
          measurements.push(await measureCatchUp(worker, task, this.processes));
        }
        return measurements;
      } finally {
        await worker.stop();
      }
    });
  }

  measureTail(streams: number, plan: TailPlan): Promise<TailMeasurement> {
    return this.#withStreams(streams, async (created) => {
      const settings: JetStreamReadSettings = { natsUrl: created.natsUrl };
      const worker = await Worker.start<JetStreamReadTask, TailResult>('jetstream-read', settings);
      try {
        return await measureTail(worker, { kind: 'tail', streams: created.streams, plan }, this.processes);
      } finally {
        await worker.stop();
      }
    });
  }

  stop(): Promise<void> {
    return this.#cluster.stop();
  }

  #connect(): Promise<NatsTransport> {
    return connectNats({ url: this.#cluster.natsUrl, name: 'bench-setup', logger: silentLogger });
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    for (;;) {
      try {
        await this.#withStreams(1, () => Promise.resolve());
        return;
      } catch (cause) {
        if (performance.now() > deadline) {
          throw new PyralogError({ code: 'unavailable', message: 'jetstream did not become ready', cause });
        }
        await sleep(100);
      }
    }
  }

  async #append(created: Streams, shape: BatchShape, plan: LoadPlan): Promise<LoadMeasurement> {
    const settings: JetStreamLoadSettings = { natsUrl: created.natsUrl };
    const worker = await Worker.start<JetStreamLoadTask, LoadResult>('jetstream-load', settings);
    try {
      const subjects = created.streams.map(({ subject }) => subject);
      return await measureLoad(worker, { shape, plan, subjects }, this.processes);
    } finally {
      await worker.stop();
    }
  }

  async #withStreams<Result>(count: number, use: (created: Streams) => Promise<Result>): Promise<Result> {
    const transport = await this.#connect();
    try {
      const manager = await transport.connection.jetstreamManager();
      const streams: PeerStream[] = [];
      let leader: string | undefined;
      for (let index = 0; index < count; index++) {
        const name = `bench-${++this.#created}`;
        const subject = `peer.${name}`;
        const replication = { num_replicas: SERVERS, storage: StorageType.File };
        const info = await manager.streams.add({ name, subjects: [subject], ...replication });
        leader ??= info.cluster?.leader;
        streams.push({ name, subject });
      }
      const [first] = this.#cluster.servers;
      const server = this.#cluster.servers.find(({ id }) => id === leader) ?? first;
      const result = await use({ streams, natsUrl: server?.url ?? '' });
      for (const { name } of streams) await manager.streams.delete(name);
      return result;
    } finally {
      await transport.close();
    }
  }
}
