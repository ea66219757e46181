/**
 * A cluster of separate processes on this machine: one nats-server, sequencers, storage nodes.
 *
 * `<directory>/nats` is the server's, `<directory>/data/<id>` a storage node's, `<directory>/logs/<id>.log` what a
 * process printed, written by this process: a sequencer writes nothing, and runs in an empty read-only directory.
 * Starting again on the same directory continues with its data. Whatever becomes of this process, the others end with it.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Logger, PyralogError } from '@pyralog/shared/core';
import { ClusterFiles } from './cluster-files.ts';
import type { ClusterProcess } from './cluster-process.ts';
import { freePorts } from './free-port.ts';
import { findNatsServer } from './nats-server/find-nats-server.ts';
import { NatsServerProcess } from './nats-server-process.ts';
import { type ServiceRole, serviceProcess } from './service-process.ts';

export interface LocalClusterOptions {
  readonly directory: string;
  readonly storageNodes: number;
  readonly sequencers: number;
  /** Of nats-server; 0 or absent: any free one. */
  readonly port?: number;
  /** Default `pyralog`. */
  readonly clusterName?: string;
  readonly logger: Logger;
  /** For every service, on top of what it gets anyway. */
  readonly environment?: Readonly<Record<string, string>>;
}

const NATS_ID = 'nats-1';
const DEFAULT_CLUSTER_NAME = 'pyralog';
const READ_ONLY_DIRECTORY = 0o555;
/** Processes that start at the same time: they compete for few cores until each is ready. */
const STARTING_MAX = 8;
/** Another process may take a free port before nats-server does. */
const PORT_ATTEMPTS = 3;

export class LocalCluster {
  readonly directory: string;
  readonly clusterName: string;
  readonly nats: NatsServerProcess;
  readonly sequencers: readonly ClusterProcess[];
  readonly storageNodes: readonly ClusterProcess[];
  readonly #files: ClusterFiles;
  readonly #logger: Logger;
  #writing: Promise<void> = Promise.resolve();
  #state: 'starting' | 'up' | 'stopping' = 'starting';
  #stopped: Promise<void> | undefined;

  /** Takes a server that runs; the services are started by `startServices`. */
  constructor(options: LocalClusterOptions, nats: NatsServerProcess, files: ClusterFiles) {
    this.directory = path.resolve(options.directory);
    this.clusterName = options.clusterName ?? DEFAULT_CLUSTER_NAME;
    this.nats = nats;
    this.#files = files;
    this.#logger = options.logger;
    const services = (role: ServiceRole, count: number): ClusterProcess[] =>
      Array.from({ length: count }, (_, index) => this.#service(role, `${role}-${index + 1}`, options));
    this.sequencers = services('sequencer', options.sequencers);
    this.storageNodes = services('storage-node', options.storageNodes);
  }

  get natsUrl(): string {
    return this.nats.url;
  }

  get monitorUrl(): string {
    return this.nats.monitorUrl;
  }

  /** Ids `nats-1`, `sequencer-1` …, `storage-node-1` … */
  get processes(): readonly ClusterProcess[] {
    return [this.nats, ...this.#services];
  }

  get #services(): readonly ClusterProcess[] {
    return [...this.sequencers, ...this.storageNodes];
  }

  /** @throws PyralogError `invalid` when there is no such process. */
  process(id: string): ClusterProcess {
    const found = this.processes.find((process) => process.id === id);
    if (found === undefined) {
      throw new PyralogError({ code: 'invalid', message: 'no such process', fields: { field: 'id', id } });
    }
    return found;
  }

  /** @throws PyralogError `unavailable` when one does not get ready; the others may run. */
  async startServices(): Promise<void> {
    await mkdir(this.#emptyDirectory, { recursive: true, mode: READ_ONLY_DIRECTORY });
    for (const { id } of this.storageNodes) await mkdir(this.#dataDirectory(id), { recursive: true });
    const services = this.#services;
    for (let from = 0; from < services.length; from += STARTING_MAX) {
      await Promise.all(services.slice(from, from + STARTING_MAX).map((service) => service.start()));
    }
    this.#state = 'up';
    this.started();
    await this.#writing;
  }

  /** A process was started: what depends on process ids is brought up to date. */
  started(): void {
    for (const service of this.#services) if (service.running) this.nats.outlive(service.pid);
    if (this.#state !== 'up') return;
    this.#writing = this.#writing
      .then(async () => {
        if (this.#state !== 'up') return;
        const processes = this.processes.map(({ role, id, pid, logFile }) => ({ role, id, pid, logFile }));
        await this.#files.write({ natsUrl: this.natsUrl, monitorUrl: this.monitorUrl, processes });
      })
      .catch((error: unknown) => this.#logger.warn('cluster file cannot be written', { error }));
  }

  /**
   * Sequencers first, since draining needs storage nodes; then those; the server last, since all need it. Each gets
   * SIGTERM and some time.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#state = 'stopping';
    for (const group of [this.sequencers, this.storageNodes, [this.nats]]) {
      await Promise.all(group.map((process) => process.stop()));
    }
    await this.#writing;
    await this.#files.unlock();
  }

  get #emptyDirectory(): string {
    return path.join(this.directory, 'empty');
  }

  #dataDirectory(id: string): string {
    return path.join(this.directory, 'data', id);
  }

  #service(role: ServiceRole, id: string, options: LocalClusterOptions): ClusterProcess {
    return serviceProcess({
      role,
      id,
      cwd: role === 'sequencer' ? this.#emptyDirectory : this.#dataDirectory(id),
      environment: {
        ...options.environment,
        PYRALOG_NATS_URL: this.natsUrl,
        PYRALOG_CLUSTER: this.clusterName,
        PYRALOG_ID: id,
        ...(role === 'storage-node' ? { PYRALOG_DATA_DIR: this.#dataDirectory(id) } : {}),
      },
      logFile: logFileOf(this.directory, id),
      logger: options.logger,
      onStart: () => this.started(),
    });
  }
}

/**
 * @throws PyralogError `unavailable`: a cluster runs in the directory already, there is no nats-server, or a process does
 *   not get ready (with the last lines of its log). Nothing keeps running then.
 */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const directory = path.resolve(options.directory);
  await mkdir(path.join(directory, 'logs'), { recursive: true });
  const files = new ClusterFiles(directory);
  await files.lock();
  let cluster: LocalCluster | undefined;
  try {
    const { path: binary } = await findNatsServer({ logger: options.logger });
    const nats = await startNats(binary, directory, options, () => cluster?.started());
    cluster = new LocalCluster(options, nats, files);
    await cluster.startServices();
    return cluster;
  } catch (error) {
    if (cluster === undefined) await files.unlock();
    else await cluster.stop();
    throw error;
  }
}

async function startNats(
  binary: string,
  directory: string,
  options: LocalClusterOptions,
  onStart: () => void,
): Promise<NatsServerProcess> {
  const chosen = options.port !== undefined && options.port !== 0;
  for (let attempt = 1; ; attempt++) {
    const [free = 0, monitorPort = 0] = await freePorts(2);
    const nats = await NatsServerProcess.create({
      id: NATS_ID,
      binary,
      directory: path.join(directory, 'nats'),
      logFile: logFileOf(directory, NATS_ID),
      config: { port: chosen ? (options.port ?? 0) : free, monitorPort },
      logger: options.logger,
      onStart,
    });
    try {
      await nats.start();
      return nats;
    } catch (error) {
      await nats.stop();
      if (chosen || attempt === PORT_ATTEMPTS || !isPortTaken(error)) throw error;
    }
  }
}

function isPortTaken(error: unknown): boolean {
  return error instanceof PyralogError && String(error.fields.lastLines).includes('address already in use');
}

function logFileOf(directory: string, id: string): string {
  return path.join(directory, 'logs', `${id}.log`);
}
