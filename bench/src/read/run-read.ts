/**
 * `read`: writes records and reads all of them back with one reader, then follows a log at a low rate; first Pyralog, then
 * JetStream with the same records in as many streams.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LIMITS, PyralogError } from '@pyralog/shared/core';
import type { ReadOptions } from '../command-line.ts';
import { type BatchShape, batchShape } from '../load/batch-shape.ts';
import type { LoadPlan, WindowObserver } from '../load/load-plan.ts';
import type { TailPlan } from '../load/tail.ts';
import type { CatchUpMeasurement, TailMeasurement } from '../measure/measurement.ts';
import { Profiler, profilingEnvironment } from '../profile/profiler.ts';
import type { Profile } from '../profile/self-times.ts';
import { type Surroundings, type SurroundingsOptions, stopping, withSurroundings } from '../surroundings.ts';
import { JetStream, SYNC_INTERVALS, type SyncInterval } from '../systems/jetstream.ts';
import { Pyralog } from '../systems/pyralog.ts';
import type { CatchUpRun, ReadCase, ReadReport, ReadSystem, TailRun } from './report.ts';

const TAIL_WARMUP_MS = 1_000;
/** Batches written ahead of acknowledgements, over all partitions. */
const BATCHES_IN_FLIGHT_MAX = 16;
const PEER_MESSAGES_IN_FLIGHT = 4_000;

export function runRead(options: ReadOptions, surroundings: SurroundingsOptions): Promise<ReadReport> {
  return withSurroundings(surroundings, (all) => new ReadBenchmark(options, all).run());
}

class ReadBenchmark {
  readonly #options: ReadOptions;
  readonly #surroundings: Surroundings;
  readonly #cases: readonly ReadCase[];
  readonly #catchUp: Map<ReadCase, CatchUpRun[]>;
  readonly #tail: Map<ReadCase, TailRun[]>;
  #profiles: Record<string, Profile> | undefined;

  constructor(options: ReadOptions, surroundings: Surroundings) {
    this.#options = options;
    this.#surroundings = surroundings;
    this.#cases = options.recordBytes.flatMap((recordBytes) =>
      options.partitions.flatMap((partitions) =>
        options.batchBytes.map((batchBytes) => ({ recordBytes, partitions, batchBytes })),
      ),
    );
    this.#catchUp = new Map(this.#cases.map((each) => [each, []]));
    this.#tail = new Map(this.#cases.map((each) => [each, []]));
  }

  async run(): Promise<ReadReport> {
    const startedAt = new Date().toISOString();
    await this.#measurePyralog();
    if (this.#options.peers !== 'none') {
      for (const syncInterval of SYNC_INTERVALS) await this.#measurePeer(syncInterval);
    }
    return {
      benchmark: 'read',
      startedAt,
      machine: this.#surroundings.machine,
      options: this.#options,
      cases: this.#cases.map((each) => ({
        ...each,
        catchUp: this.#catchUp.get(each) ?? [],
        tail: this.#tail.get(each) ?? [],
      })),
      ...(this.#profiles === undefined ? {} : { profiles: this.#profiles }),
    };
  }

  #measurePyralog(): Promise<void> {
    const { directory, logger, interrupt, progress } = this.#surroundings;
    const { storageNodes, sequencers, rate, rounds, profile } = this.#options;
    const profiles = join(directory, 'profiles');
    const environment = profile ? profilingEnvironment(profiles) : {};
    return stopping(async (started) => {
      await mkdir(profiles, { recursive: true });
      progress('starting the cluster');
      const pyralog = await Pyralog.start({ directory, storageNodes, sequencers, logger, environment });
      started.push(pyralog);
      for (const each of this.#cases) {
        const { partitions } = each;
        const log = await interrupt.during(pyralog.createLog(partitions));
        const { shape, plan } = this.#writing(each);
        await interrupt.during(pyralog.measureAppend({ log, partitions, producers: 1, shape, plan }));
        // One more to each partition: the load's warm-up.
        const written = plan.batches * shape.recordsPerBatch + partitions;
        this.#addCatchUp(each, 'pyralog', await interrupt.during(pyralog.measureCatchUp({ log, rounds })), written);
        if (profile && this.#profiles === undefined) await this.#profile(pyralog, log, profiles);
        if (rate === 0) continue;
        const tailLog = await interrupt.during(pyralog.createLog(partitions));
        const tail = pyralog.measureTail(tailLog, partitions, this.#tailPlan(each));
        this.#addTail(each, 'pyralog', await interrupt.during(tail));
      }
    });
  }

  /** Syncing makes no difference to reading: catch-up is measured once. It does to what is delivered: acknowledged or not. */
  #measurePeer(syncInterval: SyncInterval): Promise<void> {
    const { directory, logger, interrupt, progress } = this.#surroundings;
    const { rate, rounds, records } = this.#options;
    return stopping(async (started) => {
      progress(`starting JetStream with sync_interval ${syncInterval}`);
      const jetstream = await JetStream.start({ directory, syncInterval, logger });
      started.push(jetstream);
      const system: ReadSystem = `jetstream-${syncInterval}`;
      for (const each of this.#cases) {
        const { partitions: streams, recordBytes } = each;
        if (syncInterval === 'default') {
          const plan = { kind: 'count', batches: records, batchesInFlight: PEER_MESSAGES_IN_FLIGHT } as const;
          const reading = jetstream.measureCatchUp({ streams, shape: batchShape(recordBytes, 1), plan, rounds });
          this.#addCatchUp(each, system, await interrupt.during(reading), records);
        }
        if (rate === 0) continue;
        this.#addTail(each, system, await interrupt.during(jetstream.measureTail(streams, this.#tailPlan(each))));
      }
    });
  }

  async #profile(pyralog: Pyralog, log: string, directory: string): Promise<void> {
    const { interrupt, progress } = this.#surroundings;
    progress('profiling');
    const storageNode = { id: 'storage node', pid: pyralog.pidOf('storage-node-1') };
    const profile = async (readerPid: number, read: (observer: WindowObserver) => Promise<unknown>): Promise<void> => {
      const profiler = new Profiler(directory, [{ id: 'reader', pid: readerPid }, storageNode]);
      await read(profiler);
      this.#profiles = Object.fromEntries(await profiler.profiles());
    };
    await interrupt.during(pyralog.profileCatchUp(log, profile));
  }

  #tailPlan({ recordBytes }: ReadCase): TailPlan {
    const { rate: recordsPerSecond, seconds } = this.#options;
    return { recordBytes, recordsPerSecond, warmupMs: TAIL_WARMUP_MS, measureMs: seconds * 1_000 };
  }

  /** Whole batches, so that at least `records` are written. */
  #writing(each: ReadCase): { shape: BatchShape; plan: LoadPlan & { kind: 'count' } } {
    const shape = batchShape(each.recordBytes, each.batchBytes);
    const batches = Math.ceil(this.#options.records / shape.recordsPerBatch);
    const batchesInFlight = Math.min(LIMITS.producerBatchesRemembered * each.partitions, BATCHES_IN_FLIGHT_MAX);
    return { shape, plan: { kind: 'count', batches, batchesInFlight } };
  }

  /** @throws PyralogError `data-loss` when a reader did not get what was written. */
  #addCatchUp(each: ReadCase, system: ReadSystem, runs: readonly CatchUpMeasurement[], written: number): void {
    for (const [index, run] of runs.entries()) {
      if (run.records !== written) {
        const fields = { system, written, read: run.records };
        throw new PyralogError({ code: 'data-loss', message: 'reader did not get what was written', fields });
      }
      this.#catchUp.get(each)?.push({ system, round: index + 1, ...run });
      const rate = Math.round(run.recordsPerSecond);
      this.#surroundings.progress(
        `catch-up, ${each.recordBytes} B, ${each.partitions} partitions: ${system} ${rate} records/s`,
      );
    }
  }

  #addTail(each: ReadCase, system: ReadSystem, run: TailMeasurement): void {
    this.#tail.get(each)?.push({ system, ...run });
    const { p50, p99 } = run.latencyMs;
    const latency = `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`;
    this.#surroundings.progress(`tail, ${each.recordBytes} B, ${each.partitions} partitions: ${system} ${latency}`);
  }
}
