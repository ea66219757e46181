/** The nats-server for tests. Where there is none they are skipped by name, except in CI, where they fail. */
import { silentLogger } from '@pyralog/shared/core';
import { cacheSource } from '../nats-server/cache.ts';
import { findNatsServer } from '../nats-server/find-nats-server.ts';
import { pathSource } from '../nats-server/path.ts';
import type { NatsServerBinary } from '../nats-server/source.ts';

export function natsServer(): Promise<NatsServerBinary> {
  return findNatsServer({ logger: silentLogger, sources: [pathSource, cacheSource] });
}

const found = await natsServer().then(
  () => true,
  () => false,
);
export const natsServerSkip: string | false =
  found || process.env.CI !== undefined ? false : 'no nats-server: set PYRALOG_NATS_SERVER';
