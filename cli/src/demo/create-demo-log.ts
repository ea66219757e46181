/**
 * A log for one run of the demo, spread over all storage nodes. A node that has just started may not be known to every
 * sequencer yet, so this waits until all are in use: the spread that the demo shows is then that of the placement.
 */
import type { PyralogClient } from '@pyralog/client';
import { formatLogName, type LogConfig, PyralogError } from '@pyralog/shared/core';

export interface CreateDemoLogOptions {
  readonly client: PyralogClient;
  /** How many the cluster has. */
  readonly storageNodes: number;
  /** Throws when the demo is to end. */
  readonly checkGoOn: () => void;
}

const NAMESPACE = 'demo';
const PARTITIONS = 8;
const WAIT_MS = 15_000;
const POLL_MS = 50;

/** @throws PyralogError `unavailable` when the storage nodes are not in use in time. */
export async function createDemoLog(options: CreateDemoLogOptions): Promise<LogConfig> {
  const { client, storageNodes } = options;
  const name = await freeName(client);
  const log = await attempt('storage nodes are not registered', options, async () => {
    try {
      return await create(client, name, storageNodes);
    } catch (reason) {
      const isEarly = reason instanceof PyralogError && reason.fields.field === 'replicationFactor';
      if (isEarly) return undefined;
      throw reason;
    }
  });
  await attempt('storage nodes are not in use', options, async () => {
    const { partitions } = await client.admin.describeLog(name);
    const isSpread = partitions.every(({ state, fragments }) => {
      return state === 'serving' && fragments.at(-1)?.slots.length === storageNodes;
    });
    return isSpread ? true : undefined;
  });
  return log;
}

/** `flights`, `flights-2`, …: what earlier runs appended stays. */
async function freeName(client: PyralogClient): Promise<string> {
  const taken = new Set((await client.admin.listLogs(NAMESPACE)).map((log) => log.name));
  let run = 1;
  let name = 'flights';
  while (taken.has(name)) {
    run++;
    name = `flights-${run}`;
  }
  return formatLogName({ namespace: NAMESPACE, name });
}

function create(client: PyralogClient, name: string, storageNodes: number): Promise<LogConfig> {
  const replicationFactor = Math.min(3, storageNodes);
  return client.admin.createLog(name, {
    partitions: PARTITIONS,
    replicationFactor,
    writeQuorum: Math.min(2, replicationFactor),
    strategy: 'per-record',
    durability: 'fsync',
  });
}

/** Repeats `step` until it gives something. */
async function attempt<T>(
  failure: string,
  options: CreateDemoLogOptions,
  step: () => Promise<T | undefined>,
): Promise<T> {
  const startedAt = performance.now();
  for (;;) {
    options.checkGoOn();
    const result = await step();
    if (result !== undefined) return result;
    if (performance.now() - startedAt > WAIT_MS) {
      const fields = { storageNodes: options.storageNodes, waitMs: WAIT_MS };
      throw new PyralogError({ code: 'unavailable', message: failure, fields });
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
