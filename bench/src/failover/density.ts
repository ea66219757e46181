/**
 * All partitions of a log on one sequencer: how long it takes them up when it starts again, what it needs in memory, and
 * what so many cost in throughput beside few, measured in turn.
 */
import { LIMITS } from '@pyralog/shared/core';
import { batchShape } from '../load/batch-shape.ts';
import type { LoadResult } from '../load/load-plan.ts';
import type { PyralogLoadSettings, PyralogLoadTask } from '../load/pyralog-load.ts';
import { Worker } from '../load/worker.ts';
import { measureLoad } from '../measure/measurement.ts';
import { readMemory } from '../measure/processes.ts';
import { type Surroundings, stopping } from '../surroundings.ts';
import { FailoverCluster } from './cluster.ts';
import { monotonicMs } from './monotonic.ts';
import type { FailoverOptions } from './options.ts';
import type { ActivationReport, DensityReport, DensityRun } from './report.ts';
import type { SequencerWrites } from './sequencer-writes.ts';

const SEQUENCER = 'sequencer-1';
const STORAGE_NODES = 4;
const FEW_PARTITIONS = 8;
const RECORD_BYTES = 100;
/** Batches of so many bytes; 1 makes every record a batch of its own. */
const BATCH_BYTES = [16_384, 1] as const;
const WARMUP_MS = 1_000;
const LOGS = { many: 'bench/many', few: 'bench/few' } as const;

export function measureDensity(
  options: FailoverOptions,
  surroundings: Surroundings,
  writes: SequencerWrites,
): Promise<DensityReport> {
  const { directory, logger, interrupt, progress } = surroundings;
  return stopping(async (started) => {
    progress(`starting a cluster with ${options.density} partitions on one sequencer`);
    const cluster = await FailoverCluster.start({
      directory: `${directory}/density`,
      storageNodes: STORAGE_NODES,
      sequencers: 1,
      logger,
      writes,
    });
    started.push(cluster);
    const density = new Density(options, surroundings, cluster);
    await interrupt.during(cluster.createLog(LOGS.many, options.density));
    await interrupt.during(cluster.settled([SEQUENCER], options.density));
    const activations = await interrupt.during(density.activations());
    await interrupt.during(cluster.createLog(LOGS.few, FEW_PARTITIONS));
    await interrupt.during(cluster.settled([SEQUENCER], options.density + FEW_PARTITIONS));
    const { natsUrl, clusterName } = cluster.local;
    const settings: PyralogLoadSettings = { natsUrl, clusterName };
    const load = await Worker.start<PyralogLoadTask, LoadResult>('pyralog-load', settings);
    started.push(load);
    const runs = await interrupt.during(density.runs(load));
    return { activations, runs, ratios: ratiosOf(runs) };
  });
}

class Density {
  readonly #options: FailoverOptions;
  readonly #surroundings: Surroundings;
  readonly #cluster: FailoverCluster;

  constructor(options: FailoverOptions, surroundings: Surroundings, cluster: FailoverCluster) {
    this.#options = options;
    this.#surroundings = surroundings;
    this.#cluster = cluster;
  }

  async activations(): Promise<ActivationReport[]> {
    // Every partition has a tail then, and its epochs are worth keeping.
    await this.#appendToAll();
    const activations: ActivationReport[] = [];
    for (let round = 1; round <= this.#options.rounds; round++) {
      activations.push(await this.#activation('terminate', round));
      activations.push(await this.#activation('kill', round));
    }
    return activations;
  }

  async #activation(after: ActivationReport['after'], round: number): Promise<ActivationReport> {
    const { density: partitions } = this.#options;
    const process = this.#cluster.sequencer(SEQUENCER);
    if (after === 'terminate') {
      await process.stop();
    } else {
      process.kill('SIGKILL');
      await process.exited;
    }
    const startedAtMs = monotonicMs();
    const elapsed = (): number => monotonicMs() - startedAtMs;
    const acknowledging = this.#appendToAll().then(elapsed);
    const readying = process.start().then(elapsed);
    await this.#cluster.until('partitions are not activated', async () => {
      const held = await this.#cluster.held();
      return held.get(SEQUENCER) === partitions;
    });
    const activatedMs = elapsed();
    const [readyMs, acknowledgedMs] = await Promise.all([readying, acknowledging]);
    const memoryBytes = this.#memoryBytes();
    this.#surroundings.progress(
      `round ${round}, start after ${after}: ready ${readyMs.toFixed(0)} ms, activated ${activatedMs.toFixed(0)} ms, ` +
        `all acknowledge ${acknowledgedMs.toFixed(0)} ms, ${(memoryBytes / 1e6).toFixed(0)} MB resident`,
    );
    return { round, after, partitions, readyMs, activatedMs, acknowledgedMs, memoryBytes };
  }

  /** One record to each partition. */
  async #appendToAll(): Promise<void> {
    const producer = this.#cluster.client.producer(LOGS.many, { lingerMs: 0 });
    const value = new Uint8Array(RECORD_BYTES);
    const records = Array.from({ length: this.#options.density }, (_, partition) => ({ partition, value }));
    await producer.appendBatch(records);
    await producer.close();
  }

  #memoryBytes(): number {
    return readMemory([this.#cluster.sequencer(SEQUENCER)]).sequencer;
  }

  async runs(load: Worker<PyralogLoadTask, LoadResult>): Promise<DensityRun[]> {
    const runs: DensityRun[] = [];
    const { rounds, density } = this.#options;
    for (const batchBytes of BATCH_BYTES) {
      for (let round = 1; round <= rounds; round++) {
        runs.push(await this.#run(load, { log: LOGS.few, partitions: FEW_PARTITIONS, batchBytes, round }));
        runs.push(await this.#run(load, { log: LOGS.many, partitions: density, batchBytes, round }));
      }
    }
    return runs;
  }

  async #run(
    load: Worker<PyralogLoadTask, LoadResult>,
    { log, partitions, batchBytes, round }: { log: string; partitions: number; batchBytes: number; round: number },
  ): Promise<DensityRun> {
    const shape = batchShape(RECORD_BYTES, batchBytes);
    const plan = {
      kind: 'full',
      batchesInFlight: FEW_PARTITIONS * LIMITS.producerBatchesRemembered,
      warmupMs: WARMUP_MS,
      measureMs: this.#options.seconds * 1_000,
    } as const;
    const measured = await measureLoad(
      load,
      { log, partitions, producers: 1, shape, plan },
      this.#cluster.local.processes,
    );
    const { recordsPerBatch } = shape;
    this.#surroundings.progress(
      `round ${round}, ${partitions} partitions, batches of ${recordsPerBatch}: ${Math.round(measured.recordsPerSecond)} records/s`,
    );
    return { round, partitions, recordsPerBatch, ...measured };
  }
}

function ratiosOf(runs: readonly DensityRun[]): DensityReport['ratios'] {
  return runs.flatMap(({ partitions, round, recordsPerBatch, recordsPerSecond }) => {
    if (partitions === FEW_PARTITIONS) return [];
    const few = runs.find(
      (run) => run.partitions === FEW_PARTITIONS && run.round === round && run.recordsPerBatch === recordsPerBatch,
    );
    return few === undefined ? [] : [{ round, recordsPerBatch, ratio: recordsPerSecond / few.recordsPerSecond }];
  });
}
