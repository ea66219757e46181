/**
 * Epochs beside consensus per record: single records with the same number in flight, to JetStream streams of three
 * replicas, where each is committed by Raft, and to Pyralog, RF 3, W 2, fsync, where an epoch was agreed on once.
 */
import { LIMITS } from '@pyralog/shared/core';
import { batchShape } from '../load/batch-shape.ts';
import type { LoadMeasurement } from '../measure/measurement.ts';
import { type Surroundings, stopping } from '../surroundings.ts';
import { JetStream, type SyncInterval } from '../systems/jetstream.ts';
import { Pyralog } from '../systems/pyralog.ts';
import type { FailoverOptions } from './options.ts';
import type { ConsensusRun, ConsensusSystem } from './report.ts';

/** As many as JetStream has servers. */
const STORAGE_NODES = 3;
const PARTITIONS = [1, 16] as const;
const WARMUP_MS = 1_000;
/** Makes every record a batch of its own. */
const SHAPE = batchShape(100, 1);
const SYNC_INTERVALS: readonly SyncInterval[] = ['always', 'default'];

export async function measureConsensus(options: FailoverOptions, surroundings: Surroundings): Promise<ConsensusRun[]> {
  const runs: ConsensusRun[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    const each = { ...surroundings, directory: `${surroundings.directory}/consensus-${round}` };
    runs.push(...(await measurePyralog(options, each, round)));
    for (const syncInterval of SYNC_INTERVALS) {
      runs.push(...(await measureJetStream(options, each, round, syncInterval)));
    }
  }
  return runs;
}

function measurePyralog(options: FailoverOptions, surroundings: Surroundings, round: number): Promise<ConsensusRun[]> {
  const { directory, logger, interrupt, progress } = surroundings;
  return stopping(async (started) => {
    progress('starting a cluster beside consensus per record');
    const cluster = { directory, storageNodes: STORAGE_NODES, sequencers: 1, logger, environment: {} };
    const pyralog = await Pyralog.start(cluster);
    started.push(pyralog);
    const runs: ConsensusRun[] = [];
    for (const partitions of PARTITIONS) {
      const log = await interrupt.during(pyralog.createLog(partitions));
      // Each producer keeps so many batches of a partition in flight; as many producers as it takes.
      const producers = Math.ceil(options.concurrency / (LIMITS.producerBatchesRemembered * partitions));
      const task = { log, partitions, producers, shape: SHAPE, plan: planOf(options) };
      const measured = await interrupt.during(pyralog.measureAppend(task));
      runs.push(reported(surroundings, 'pyralog', round, partitions, measured));
    }
    return runs;
  });
}

function measureJetStream(
  options: FailoverOptions,
  surroundings: Surroundings,
  round: number,
  syncInterval: SyncInterval,
): Promise<ConsensusRun[]> {
  const { directory, logger, interrupt, progress } = surroundings;
  return stopping(async (started) => {
    progress(`starting JetStream with sync_interval ${syncInterval}`);
    const jetstream = await JetStream.start({ directory, syncInterval, logger });
    started.push(jetstream);
    const runs: ConsensusRun[] = [];
    for (const streams of PARTITIONS) {
      const measured = await interrupt.during(jetstream.measureAppend(streams, SHAPE, planOf(options)));
      runs.push(reported(surroundings, `jetstream-${syncInterval}`, round, streams, measured));
    }
    return runs;
  });
}

function planOf({ concurrency, seconds }: FailoverOptions) {
  return { kind: 'full', batchesInFlight: concurrency, warmupMs: WARMUP_MS, measureMs: seconds * 1_000 } as const;
}

function reported(
  { progress }: Surroundings,
  system: ConsensusSystem,
  round: number,
  partitions: number,
  measured: LoadMeasurement,
): ConsensusRun {
  const { recordsPerSecond, latencyMs } = measured;
  progress(
    `round ${round}, single records, ${partitions} ${system === 'pyralog' ? 'partitions' : 'streams'}: ${system} ` +
      `${Math.round(recordsPerSecond)} records/s, p50 ${latencyMs.p50.toFixed(2)} ms, p99 ${latencyMs.p99.toFixed(2)} ms`,
  );
  return { system, round, partitions, ...measured };
}
