/**
 * A real nats-server for one test file: `PYRALOG_NATS_SERVER`, or the one on `PATH`. Where there is none the tests are
 * skipped by name, except in CI, where they fail.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../core/index.ts';
import { connectNats } from '../node/index.ts';

const binary = process.env.PYRALOG_NATS_SERVER ?? 'nats-server';
const found = spawnSync(binary, ['--version']).status === 0;

/** For `test(name, { skip: natsServerSkip }, …)`. */
export const natsServerSkip: string | false =
  found || process.env.CI !== undefined ? false : 'no nats-server: set PYRALOG_NATS_SERVER';

const READY_WITHIN_MS = 10_000;
const STOP_WITHIN_MS = 10_000;

export class TestNatsServer {
  readonly port: number;
  readonly directory: string;
  #child: ChildProcess | undefined;

  constructor(port: number, directory: string) {
    this.port = port;
    this.directory = directory;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const child = spawn(binary, ['-c', join(this.directory, 'nats.conf')], { stdio: 'ignore' });
    this.#child = child;
    const deadline = performance.now() + READY_WITHIN_MS;
    for (;;) {
      try {
        const probe = await connectNats({ url: this.url, name: 'probe', logger: silentLogger, reconnect: false });
        await probe.close();
        return;
      } catch (error) {
        if (performance.now() > deadline || child.exitCode !== null) throw error;
        await sleep(20);
      }
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Ends the server, killing it unless it has obeyed in time; its data stays. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
    await exited;
    clearTimeout(timer);
  }

  async dispose(): Promise<void> {
    await this.stop('SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Starts a server with JetStream on a free port; `config` is appended to its configuration. */
export async function startTestNatsServer(config = ''): Promise<TestNatsServer> {
  const directory = await mkdtemp(join(tmpdir(), 'pyralog-nats-'));
  const server = new TestNatsServer(await freePort(), directory);
  const settings = [
    `host: 127.0.0.1`,
    `port: ${server.port}`,
    `jetstream { store_dir: ${JSON.stringify(join(directory, 'jetstream'))} }`,
    config,
  ];
  await writeFile(join(directory, 'nats.conf'), settings.join('\n'));
  await server.start();
  return server;
}

export async function freePort(): Promise<number> {
  const server = await listening(createServer());
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

export async function listening(server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

export function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('server has no port');
  return address.port;
}

/** Polls `condition` until it holds; fails after `withinMs`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  withinMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(10);
  }
}
