/** Several nats-servers that form one JetStream cluster on this machine. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from '@pyralog/shared/core';
import { freePorts } from './free-port.ts';
import { findNatsServer } from './nats-server/find-nats-server.ts';
import { NatsServerProcess } from './nats-server-process.ts';

export interface NatsClusterOptions {
  readonly directory: string;
  /** One is a lone server, three the smallest cluster. */
  readonly servers: number;
  readonly syncInterval?: 'always' | 'default';
  readonly logger: Logger;
}

export class NatsCluster {
  readonly servers: readonly NatsServerProcess[];

  constructor(servers: readonly NatsServerProcess[]) {
    this.servers = servers;
  }

  /** Of all servers, comma separated. */
  get natsUrl(): string {
    return this.servers.map((server) => server.url).join(',');
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}

/** @throws PyralogError `unavailable` when there is no nats-server, or one does not get ready. */
export async function startNatsCluster(options: NatsClusterOptions): Promise<NatsCluster> {
  const { directory, servers: count, syncInterval = 'default', logger } = options;
  const { path: binary } = await findNatsServer({ logger });
  const logs = path.join(directory, 'logs');
  await mkdir(logs, { recursive: true });
  const ports = await freePorts(count * 3);
  const clusterPorts = ports.slice(2 * count);
  const servers: NatsServerProcess[] = [];
  for (let index = 0; index < count; index++) {
    const id = `nats-${index + 1}`;
    const [port = 0, monitorPort = 0, clusterPort = 0] = [ports[index], ports[count + index], clusterPorts[index]];
    const cluster = { name: 'pyralog', port: clusterPort, ports: clusterPorts };
    servers.push(
      await NatsServerProcess.create({
        id,
        binary,
        directory: path.join(directory, id),
        logFile: path.join(logs, `${id}.log`),
        config: { port, monitorPort, syncInterval, ...(count > 1 ? { cluster } : {}) },
        logger,
      }),
    );
  }
  const cluster = new NatsCluster(servers);
  try {
    await Promise.all(servers.map((server) => server.start()));
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}
