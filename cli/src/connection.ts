/**
 * The options that every command that talks to a cluster has, and the connection they lead to.
 *
 * Which cluster, in this order: `--nats`; `PYRALOG_NATS_URL`; the cluster that `pyralog dev` runs in `./.pyralog/dev` of
 * the working directory; `nats://127.0.0.1:4222`.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type PyralogClient } from '@pyralog/client';
import type { Command } from 'commander';
import { z } from 'zod';
import { nonEmpty } from './arguments.ts';

export const DEV_DIRECTORY = join('.pyralog', 'dev');
export const DEFAULT_NATS_URL = 'nats://127.0.0.1:4222';
export const DEFAULT_CLUSTER_NAME = 'pyralog';

export interface ConnectionOptions {
  readonly nats?: string;
  readonly cluster?: string;
  readonly json?: boolean;
}

export function addConnectionOptions(command: Command): Command {
  return addJsonOption(addClusterOption(command)).option(
    '--nats <url>',
    `NATS servers, comma separated (default: PYRALOG_NATS_URL, else the cluster that "pyralog dev" runs in ./${DEV_DIRECTORY}, else ${DEFAULT_NATS_URL})`,
    nonEmpty,
  );
}

export function addClusterOption(command: Command): Command {
  return command.option(
    '--cluster <name>',
    `name of the cluster (default: PYRALOG_CLUSTER, else ${DEFAULT_CLUSTER_NAME})`,
    nonEmpty,
  );
}

export function addJsonOption(command: Command): Command {
  return command.option('--json', 'print JSON, errors too');
}

export interface ClusterAddress {
  readonly url: string;
  readonly clusterName: string;
}

/** @param directory where a dev cluster is looked for. */
export async function findCluster(
  options: ConnectionOptions,
  environment: NodeJS.ProcessEnv = process.env,
  directory: string = process.cwd(),
): Promise<ClusterAddress> {
  const clusterName = clusterNameOf(options, environment);
  const given = options.nats ?? variable(environment, 'PYRALOG_NATS_URL');
  if (given !== undefined) return { url: given, clusterName };
  const dev = await readDevCluster(join(directory, DEV_DIRECTORY));
  return { url: dev?.natsUrl ?? DEFAULT_NATS_URL, clusterName };
}

export function clusterNameOf(options: ConnectionOptions, environment: NodeJS.ProcessEnv = process.env): string {
  return options.cluster ?? variable(environment, 'PYRALOG_CLUSTER') ?? DEFAULT_CLUSTER_NAME;
}

/** An empty variable is none. */
function variable(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = environment[name];
  return value === '' ? undefined : value;
}

/** Connects, does `work`, and closes whatever happens. */
export async function withClient<T>(
  options: ConnectionOptions,
  work: (client: PyralogClient) => Promise<T>,
): Promise<T> {
  const client = await connect({ ...(await findCluster(options)), name: 'pyralog-cli' });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

const clusterFileSchema = z.object({
  natsUrl: z.string().min(1),
  processes: z.array(z.object({ id: z.string(), pid: z.number().int().positive() })),
});

/** What `cluster.json` says, if there is one and its nats-server runs. */
async function readDevCluster(directory: string): Promise<z.infer<typeof clusterFileSchema> | undefined> {
  let written: unknown;
  try {
    written = JSON.parse(await readFile(join(directory, 'cluster.json'), 'utf8'));
  } catch {
    return undefined;
  }
  const file = clusterFileSchema.safeParse(written);
  if (!file.success) return undefined;
  const nats = file.data.processes.find((process) => process.id.startsWith('nats'));
  return nats !== undefined && isRunning(nats.pid) ? file.data : undefined;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (reason) {
    return reason instanceof Error && 'code' in reason && reason.code === 'EPERM';
  }
}
