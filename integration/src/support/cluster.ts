/** A cluster of real processes for one test, in a temporary directory, gone when the test ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { connect, type PyralogClient } from '@pyralog/client';
import { type ClusterProcess, type LocalCluster, serviceProcess, startLocalCluster } from '@pyralog/infra';
import { silentLogger } from '@pyralog/shared/core';

export interface ClusterOptions {
  readonly storageNodes?: number;
  readonly sequencers?: number;
  readonly environment?: Record<string, string>;
}

export const CLUSTER_NAME = 'pyralog';

export async function temporaryDirectory(test: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'pyralog-'));
  test.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export async function startCluster(test: TestContext, options: ClusterOptions = {}): Promise<LocalCluster> {
  const directory = await mkdtemp(path.join(tmpdir(), 'pyralog-'));
  const cluster = await startLocalCluster({
    directory,
    storageNodes: options.storageNodes ?? 4,
    sequencers: options.sequencers ?? 2,
    clusterName: CLUSTER_NAME,
    logger: silentLogger,
    environment: options.environment ?? {},
  });
  test.after(async () => {
    await cluster.stop();
    await rm(directory, { recursive: true, force: true });
  });
  return cluster;
}

export async function connectTo(test: TestContext, cluster: LocalCluster): Promise<PyralogClient> {
  const client = await connect({ url: cluster.natsUrl, clusterName: CLUSTER_NAME });
  test.after(() => client.close());
  return client;
}

/**
 * Resolves when `condition` holds.
 * @throws Error naming what was waited for, after `deadlineMs`.
 */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 30_000,
): Promise<void> {
  const until = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Starts another sequencer under an id that one has already. */
export async function startSecond(test: TestContext, cluster: LocalCluster, id: string): Promise<ClusterProcess> {
  const second = serviceProcess({
    role: 'sequencer',
    id,
    cwd: path.join(cluster.directory, 'empty'),
    environment: { PYRALOG_NATS_URL: cluster.natsUrl, PYRALOG_CLUSTER: CLUSTER_NAME, PYRALOG_ID: id },
    logFile: path.join(cluster.directory, 'logs', `${id}-second.log`),
    logger: silentLogger,
  });
  test.after(() => second.stop());
  await second.start();
  return second;
}
