/**
 * A real nats-server for one test file: `PYRALOG_NATS_SERVER`, or the one on `PATH`. Where there is none the tests are
 * skipped by name, except in CI, where they fail.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { silentLogger } from '@pyralog/shared/core';
import { connectNats } from '@pyralog/shared/node';

const binary = process.env.PYRALOG_NATS_SERVER ?? 'nats-server';
const found = spawnSync(binary, ['--version']).status === 0;
export const natsServerSkip: string | false =
  found || process.env.CI !== undefined ? false : 'no nats-server: set PYRALOG_NATS_SERVER';

export class TestNatsServer {
  readonly port: number;
  readonly #directory: string;
  #child: ChildProcess | undefined;

  private constructor(port: number, directory: string) {
    this.port = port;
    this.#directory = directory;
  }

  static async start(): Promise<TestNatsServer> {
    const server = new TestNatsServer(await freePort(), await mkdtemp(path.join(tmpdir(), 'pyralog-nats-')));
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.#child = spawn(binary, ['-a', '127.0.0.1', '-p', String(this.port), '-js', '-sd', this.#directory], {
      stdio: 'ignore',
    });
    await eventually('nats-server answers', async () => {
      try {
        const probe = await connectNats({ url: this.url, name: 'probe', logger: silentLogger, reconnect: false });
        await probe.close();
        return true;
      } catch {
        return false;
      }
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async dispose(): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('server has no port');
  return address.port;
}

/** Polls `condition` until it holds; fails after `withinMs`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  withinMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
