/** Configuration of a storage node, from environment variables. */
import { DEFAULTS, FRAME_HEADER_BYTES, LIMITS, type StorageNodeId, zoneSchema } from '@pyralog/shared/core';
import { type Environment, readConfig, serviceVariables, wholeNumber } from '@pyralog/shared/node';
import { z } from 'zod';
import type { StorageNodeSettings } from './core/storage-node.ts';

const MIB = 1024 * 1024;
const schema = z.object({
  ...serviceVariables,
  PYRALOG_DATA_DIR: z.string(),
  PYRALOG_ZONE: zoneSchema.optional(),
  PYRALOG_SEGMENT_BYTES: wholeNumber(64 * 1024, 64 * 1024 * MIB).default(DEFAULTS.segmentBytes),
  PYRALOG_COMMIT_BYTES_MAX: wholeNumber(FRAME_HEADER_BYTES, 256 * MIB).default(LIMITS.commitBytesMax),
  PYRALOG_COMMIT_DELAY_MS: wholeNumber(0, 10_000).default(0),
  PYRALOG_FLUSH_INTERVAL_MS: wholeNumber(1, 60_000).default(DEFAULTS.flushIntervalMs),
  PYRALOG_RECENT_BYTES_MAX: wholeNumber(0, 64 * 1024 * MIB).default(LIMITS.recentBytesMax),
});

export interface StorageNodeConfig {
  readonly natsUrl: string;
  readonly logLevel: string;
  readonly dataDirectory: string;
  readonly settings: StorageNodeSettings;
}

/** @throws PyralogError `invalid` listing every problem. */
export function readStorageNodeConfig(env: Environment): StorageNodeConfig {
  const config = readConfig(schema, env);
  return {
    natsUrl: config.PYRALOG_NATS_URL,
    logLevel: config.PYRALOG_LOG_LEVEL,
    dataDirectory: config.PYRALOG_DATA_DIR,
    settings: {
      nodeId: config.PYRALOG_ID as StorageNodeId,
      zone: config.PYRALOG_ZONE,
      clusterName: config.PYRALOG_CLUSTER,
      segmentBytes: config.PYRALOG_SEGMENT_BYTES,
      commitBytesMax: config.PYRALOG_COMMIT_BYTES_MAX,
      commitDelayMs: config.PYRALOG_COMMIT_DELAY_MS,
      flushIntervalMs: config.PYRALOG_FLUSH_INTERVAL_MS,
      recentBytesMax: config.PYRALOG_RECENT_BYTES_MAX,
      checkpointIntervalMs: DEFAULTS.checkpointIntervalMs,
      heartbeatIntervalMs: config.PYRALOG_HEARTBEAT_INTERVAL_MS,
    },
  };
}
