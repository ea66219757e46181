/** A nats-server as a `ClusterProcess`: its configuration file, and how one knows that it is ready. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Logger, PyralogError, silentLogger } from '@pyralog/shared/core';
import { connectNats } from '@pyralog/shared/node';
import { ClusterProcess } from './cluster-process.ts';
import { type NatsConfig, renderNatsConfig } from './nats-config.ts';
import { Reaper } from './reaper.ts';

export interface NatsServerProcessOptions {
  readonly id: string;
  /** Path of the server. */
  readonly binary: string;
  /** For its configuration and JetStream's store. */
  readonly directory: string;
  readonly logFile: string;
  readonly config: Omit<NatsConfig, 'serverName' | 'storeDirectory'>;
  readonly logger: Logger;
  /** Called whenever the server was started. */
  readonly onStart?: (server: NatsServerProcess) => void;
}

export class NatsServerProcess extends ClusterProcess {
  readonly url: string;
  readonly monitorUrl: string;
  readonly #reaper: () => Reaper | undefined;

  private constructor(options: NatsServerProcessOptions, configFile: string) {
    const url = `nats://127.0.0.1:${options.config.port}`;
    let reaper: Reaper | undefined;
    super({
      role: 'nats-server',
      id: options.id,
      command: options.binary,
      args: ['-c', configFile],
      cwd: options.directory,
      environment: {},
      logFile: options.logFile,
      logger: options.logger,
      // The line comes first: on a port that was taken, some other server would answer.
      ready: { line: (line) => line.includes('Server is ready'), ask: () => answers(url) },
      onStart: (pid) => {
        reaper = new Reaper(pid);
        options.onStart?.(this);
      },
      onExit: () => reaper?.dismiss(),
      stopWithinMs: STOP_WITHIN_MS,
    });
    this.url = url;
    this.monitorUrl = `http://127.0.0.1:${options.config.monitorPort}`;
    this.#reaper = () => reaper;
  }

  static async create(options: NatsServerProcessOptions): Promise<NatsServerProcess> {
    const configFile = path.join(options.directory, 'nats-server.conf');
    await mkdir(options.directory, { recursive: true });
    const storeDirectory = path.join(options.directory, 'jetstream');
    await writeFile(configFile, renderNatsConfig({ ...options.config, serverName: options.id, storeDirectory }));
    return new NatsServerProcess(options, configFile);
  }

  /** When this process is gone, the server goes on until `pid` has ended too. */
  outlive(pid: number): void {
    this.#reaper()?.letFinish(pid);
  }
}

const ASK_TIMEOUT_MS = 1_000;
const STOP_WITHIN_MS = 5_000;

/** Whether the server takes connections and JetStream is up. */
async function answers(url: string): Promise<boolean> {
  try {
    const probe = await connectNats({
      url,
      name: 'ready',
      logger: silentLogger,
      reconnect: false,
      connectTimeoutMs: ASK_TIMEOUT_MS,
    });
    try {
      await probe.request('$JS.API.INFO', new Uint8Array(0), { timeoutMs: ASK_TIMEOUT_MS });
      return true;
    } finally {
      await probe.close();
    }
  } catch (error) {
    if (error instanceof PyralogError) return false;
    throw error;
  }
}
