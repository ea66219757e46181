/**
 * `append`: a cluster, a ceiling over the same nats-server, and the two measured in turn, so that whatever else happens on
 * the machine happens to both; then the peers, on servers of their own, when the cluster has stopped.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AppendOptions } from '../command-line.ts';
import { type BatchShape, batchShape } from '../load/batch-shape.ts';
import type { CeilingVariant } from '../load/ceiling-connection.ts';
import type { LoadPlan } from '../load/load-plan.ts';
import type { LoadMeasurement } from '../measure/measurement.ts';
import { Profiler, profilingEnvironment } from '../profile/profiler.ts';
import type { Profile } from '../profile/self-times.ts';
import { type Surroundings, type SurroundingsOptions, stopping, withSurroundings } from '../surroundings.ts';
import { Ceiling } from '../systems/ceiling.ts';
import { JetStream, SYNC_INTERVALS, type SyncInterval } from '../systems/jetstream.ts';
import { Pyralog, REPLICATION_FACTOR, WRITE_QUORUM } from '../systems/pyralog.ts';
import { appendCases } from './cases.ts';
import { type AppendCase, type AppendReport, type AppendRun, reportCase, type SystemName } from './report.ts';

/** Compilers and buffers settle within this. */
const WARMUP_MS = 800;
/** Messages of one record that JetStream's publisher keeps unacknowledged. */
const PEER_MESSAGES_IN_FLIGHT = 4_000;
const CEILING_VARIANTS: readonly CeilingVariant[] = ['plain', 'tuned'];

export function runAppend(options: AppendOptions, surroundings: SurroundingsOptions): Promise<AppendReport> {
  return withSurroundings(surroundings, (all) => new AppendBenchmark(options, all).run());
}

class AppendBenchmark {
  readonly #options: AppendOptions;
  readonly #surroundings: Surroundings;
  readonly #cases: readonly AppendCase[];
  readonly #runs: Map<AppendCase, AppendRun[]>;
  #profiles: Record<string, Profile> | undefined;

  constructor(options: AppendOptions, surroundings: Surroundings) {
    this.#options = options;
    this.#surroundings = surroundings;
    this.#cases = appendCases(options);
    this.#runs = new Map(this.#cases.map((appendCase) => [appendCase, []]));
  }

  async run(): Promise<AppendReport> {
    const startedAt = new Date().toISOString();
    await this.#measureCluster();
    if (this.#options.peers !== 'none') {
      for (const syncInterval of SYNC_INTERVALS) await this.#measurePeer(syncInterval);
    }
    return {
      benchmark: 'append',
      startedAt,
      machine: this.#surroundings.machine,
      options: this.#options,
      cases: this.#cases.map((appendCase) => reportCase(appendCase, this.#runs.get(appendCase) ?? [])),
      ...(this.#profiles === undefined ? {} : { profiles: this.#profiles }),
    };
  }

  #measureCluster(): Promise<void> {
    const { directory, logger, interrupt } = this.#surroundings;
    const { storageNodes, sequencers, rounds, profile } = this.#options;
    const profiles = join(directory, 'profiles');
    const environment = profile ? profilingEnvironment(profiles) : {};
    return stopping(async (started) => {
      await mkdir(profiles, { recursive: true });
      this.#surroundings.progress('starting the cluster and the ceilings');
      const pyralog = await Pyralog.start({ directory, storageNodes, sequencers, logger, environment });
      started.push(pyralog);
      const ceilings: Ceiling[] = [];
      for (const variant of CEILING_VARIANTS) {
        const ceiling = await Ceiling.start({ ...this.#besides(pyralog), variant, environment });
        started.push(ceiling);
        ceilings.push(ceiling);
      }
      for (const appendCase of this.#cases) {
        const log = await interrupt.during(pyralog.createLog(appendCase.partitions));
        for (let round = 1; round <= (appendCase.load === 'full' ? rounds : 1); round++) {
          for (const ceiling of ceilings) await this.#measureCeiling(ceiling, appendCase, round);
          await this.#measurePyralog(pyralog, log, appendCase, round);
        }
      }
      if (profile) await this.#profile(pyralog, ceilings, profiles);
    });
  }

  /** What a ceiling needs to stand beside the cluster. */
  #besides({ natsUrl, natsPid }: Pyralog) {
    const { directory } = this.#surroundings;
    const quorum = { replicationFactor: REPLICATION_FACTOR, writeQuorum: WRITE_QUORUM };
    return { natsUrl, natsPid, directory, storageProcesses: this.#options.storageNodes, ...quorum };
  }

  async #measureCeiling(ceiling: Ceiling, appendCase: AppendCase, round: number): Promise<void> {
    const measuring = ceiling.measure(appendCase, this.#plan(appendCase));
    const system = ceiling.variant === 'plain' ? 'ceiling' : 'ceiling-tuned';
    this.#add(appendCase, system, round, await this.#surroundings.interrupt.during(measuring));
  }

  async #measurePyralog(pyralog: Pyralog, log: string, appendCase: AppendCase, round: number): Promise<void> {
    const { partitions } = appendCase;
    const { producers } = this.#options;
    const task = { log, partitions, producers, shape: appendCase, plan: this.#plan(appendCase) };
    const measuring = pyralog.measureAppend(task);
    this.#add(appendCase, 'pyralog', round, await this.#surroundings.interrupt.during(measuring));
  }

  #measurePeer(syncInterval: SyncInterval): Promise<void> {
    const { directory, logger, progress } = this.#surroundings;
    return stopping(async (started) => {
      progress(`starting JetStream with sync_interval ${syncInterval}`);
      const jetstream = await JetStream.start({ directory, syncInterval, logger });
      started.push(jetstream);
      for (const appendCase of this.#cases) {
        const { recordBytes, recordsPerBatch, batchesInFlight } = appendCase;
        const single = batchShape(recordBytes, 1);
        await this.#measureJetStream(jetstream, '', appendCase, single, PEER_MESSAGES_IN_FLIGHT);
        if (recordsPerBatch === 1) continue;
        await this.#measureJetStream(jetstream, '-batched', appendCase, appendCase, batchesInFlight);
      }
    });
  }

  async #measureJetStream(
    jetstream: JetStream,
    variant: '' | '-batched',
    appendCase: AppendCase,
    shape: BatchShape,
    batchesInFlight: number,
  ): Promise<void> {
    const plan = this.#plan({ ...appendCase, batchesInFlight });
    const measuring = jetstream.measureAppend(appendCase.partitions, shape, plan);
    const measurement = await this.#surroundings.interrupt.during(measuring);
    this.#add(appendCase, `jetstream-${jetstream.syncInterval}${variant}`, 1, measurement);
  }

  /** A profiled run of the first case, which is not among the reported ones: profiling slows it down. */
  async #profile(pyralog: Pyralog, ceilings: readonly Ceiling[], directory: string): Promise<void> {
    const { interrupt, progress } = this.#surroundings;
    const [first] = this.#cases;
    if (first === undefined) return;
    progress('profiling');
    const profilers: Profiler[] = [];
    for (const ceiling of ceilings) {
      const [pid = 0] = ceiling.storagePids;
      const profiler = new Profiler(directory, [{ id: `storage process of the ${ceiling.variant} ceiling`, pid }]);
      await interrupt.during(ceiling.measure(first, this.#plan(first), profiler));
      profilers.push(profiler);
    }
    const log = await interrupt.during(pyralog.createLog(first.partitions));
    const profiler = new Profiler(directory, [
      { id: 'client', pid: pyralog.clientPid },
      { id: 'sequencer', pid: pyralog.pidOf('sequencer-1') },
      { id: 'storage node', pid: pyralog.pidOf('storage-node-1') },
    ]);
    const { producers } = this.#options;
    const task = { log, partitions: first.partitions, producers, shape: first, plan: this.#plan(first) };
    await interrupt.during(pyralog.measureAppend(task, profiler));
    this.#profiles = {};
    for (const each of [profiler, ...profilers])
      Object.assign(this.#profiles, Object.fromEntries(await each.profiles()));
  }

  #plan(appendCase: AppendCase): LoadPlan {
    const window = { warmupMs: WARMUP_MS, measureMs: this.#options.seconds * 1_000 };
    if (appendCase.load === 'paced') return { ...window, kind: 'paced', batchesPerSecond: this.#options.rate };
    return { ...window, kind: 'full', batchesInFlight: appendCase.batchesInFlight };
  }

  #add(appendCase: AppendCase, system: SystemName, round: number, measurement: LoadMeasurement): void {
    const { recordBytes, partitions, recordsPerBatch, load } = appendCase;
    const { recordsPerSecond, latencyMs } = measurement;
    this.#runs.get(appendCase)?.push({ system, round, ...measurement });
    this.#surroundings.progress(
      `${load} ${recordBytes} B x ${recordsPerBatch}, ${partitions} partitions: ${system} ` +
        `${Math.round(recordsPerSecond)} records/s, p50 ${latencyMs.p50.toFixed(2)} ms, p99 ${latencyMs.p99.toFixed(2)} ms`,
    );
  }
}
