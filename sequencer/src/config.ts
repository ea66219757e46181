/** Configuration of a sequencer, from environment variables. */
import { DEFAULTS, LIMITS, type SequencerId } from '@pyralog/shared/core';
import { type Environment, readConfig, serviceVariables, wholeNumber } from '@pyralog/shared/node';
import { z } from 'zod';
import type { SequencerOptions } from './core/sequencer.ts';

const GIB = 1024 ** 3;
const schema = z.object({
  ...serviceVariables,
  PYRALOG_EPOCH_SHARDS: wholeNumber(1, LIMITS.epochShardsMax).default(DEFAULTS.epochShards),
  PYRALOG_METADATA_REPLICAS: wholeNumber(1, 5).default(1),
  PYRALOG_PARTITION_WINDOW_BYTES_MAX: wholeNumber(1, 4 * GIB).default(LIMITS.partitionWindowBytesMax),
  PYRALOG_WINDOW_BYTES_MAX: wholeNumber(1, 64 * GIB).default(LIMITS.sequencerWindowBytesMax),
});

export interface SequencerConfig {
  readonly natsUrl: string;
  readonly logLevel: string;
  readonly options: SequencerOptions;
}

/** @throws PyralogError `invalid` listing every problem. */
export function readSequencerConfig(env: Environment): SequencerConfig {
  const config = readConfig(schema, env);
  return {
    natsUrl: config.PYRALOG_NATS_URL,
    logLevel: config.PYRALOG_LOG_LEVEL,
    options: {
      sequencerId: config.PYRALOG_ID as SequencerId,
      clusterName: config.PYRALOG_CLUSTER,
      heartbeatIntervalMs: config.PYRALOG_HEARTBEAT_INTERVAL_MS,
      suspectAfterMs: config.PYRALOG_SUSPECT_AFTER_MS,
      epochShards: config.PYRALOG_EPOCH_SHARDS,
      metadataReplicas: config.PYRALOG_METADATA_REPLICAS,
      window: {
        partitionBytesMax: config.PYRALOG_PARTITION_WINDOW_BYTES_MAX,
        partitionBatchesMax: LIMITS.partitionWindowBatchesMax,
        bytesMax: config.PYRALOG_WINDOW_BYTES_MAX,
        lateBytesMax: Math.min(LIMITS.lateCopiesBytesMax, config.PYRALOG_WINDOW_BYTES_MAX / 2),
      },
    },
  };
}
