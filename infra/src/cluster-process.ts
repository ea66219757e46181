/**
 * One process of a cluster: started, watched until it is ready, stopped, and started again with the same configuration.
 *
 * It runs in a session of its own, so that Ctrl-C in a terminal reaches only this process, which then stops the others
 * in their order.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Logger, PyralogError } from '@pyralog/shared/core';
import type { Environment } from '@pyralog/shared/node';
import { processWriteBytes } from './proc-io.ts';
import { ProcessLog } from './process-log.ts';

export type ProcessRole = 'nats-server' | 'sequencer' | 'storage-node';

export interface ProcessExit {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface ClusterProcessOptions {
  readonly role: ProcessRole;
  readonly id: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment: Environment;
  readonly logFile: string;
  readonly logger: Logger;
  /** The process is ready when a line of its output is this one, and then the question, if any, is answered with yes. */
  readonly ready: { readonly line: (line: string) => boolean; readonly ask?: () => Promise<boolean> };
  /** Called with the process id whenever the process was started. */
  readonly onStart?: (pid: number) => void;
  readonly onExit?: () => void;
  /** From SIGTERM to SIGKILL. Default 15 s: a sequencer drains what it holds. */
  readonly stopWithinMs?: number;
}

const READY_WITHIN_MS = 60_000;
const ASK_INTERVAL_MS = 25;
const STOP_WITHIN_MS = 15_000;

export class ClusterProcess {
  readonly role: ProcessRole;
  readonly id: string;
  readonly #options: ClusterProcessOptions;
  readonly #log: ProcessLog;
  #child: ChildProcess | undefined;
  #pid = 0;
  #writtenWhenReady = 0;
  #exited: Promise<ProcessExit> = Promise.resolve({ code: undefined, signal: undefined });

  constructor(options: ClusterProcessOptions) {
    this.role = options.role;
    this.id = options.id;
    this.#options = options;
    this.#log = new ProcessLog(options.logFile, options.logger);
  }

  get logFile(): string {
    return this.#log.file;
  }

  /** Of the run that is under way, or of the last one; 0 before the first. */
  get pid(): number {
    return this.#pid;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Resolves when the run that is under way, or was the last one, has ended. */
  get exited(): Promise<ProcessExit> {
    return this.#exited;
  }

  /**
   * Bytes that the run which is under way has caused to be written to storage since it was ready. What it read before,
   * its program, counts as writing the first time: the file system notes the access times of files that are new.
   * @throws PyralogError `unavailable` where that is not counted, or the process does not run.
   */
  async bytesWritten(): Promise<number> {
    return (await processWriteBytes(this.#pid)) - this.#writtenWhenReady;
  }

  /** Sends `signal` to the process; nothing happens when it does not run. */
  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /**
   * Starts the process and waits until it is ready.
   * @throws PyralogError `unavailable` with the last lines of the log when it ends before, or is not ready in time.
   */
  async start(): Promise<void> {
    if (this.running)
      throw new PyralogError({ code: 'invalid', message: 'process is running', fields: { field: 'id', id: this.id } });
    const { command, args, cwd, environment, ready } = this.#options;
    const child = spawn(command, args, {
      cwd,
      env: { ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child = child;
    this.#exited = this.#waitForEnd(child);
    // Nothing is ever written to it: its end is what the process waits for. It breaks when the process ends.
    child.stdin.on('error', () => undefined);
    let saidReady = false;
    this.#log.follow(child.stdout, child.stderr, (line) => {
      if (!saidReady && ready.line(line)) saidReady = true;
    });
    if (child.pid !== undefined) {
      this.#pid = child.pid;
      this.#options.onStart?.(child.pid);
    }
    const deadline = performance.now() + READY_WITHIN_MS;
    while (!saidReady || !((await ready.ask?.()) ?? true)) {
      if (!this.running) throw this.#notReady('process ended before it was ready');
      if (performance.now() > deadline) {
        this.kill('SIGKILL');
        await this.#exited;
        throw this.#notReady('process was not ready in time');
      }
      await Promise.race([new Promise((resolve) => setTimeout(resolve, ASK_INTERVAL_MS)), this.#exited]);
    }
    if (!this.running) throw this.#notReady('process ended before it was ready');
    this.#writtenWhenReady = await processWriteBytes(this.#pid).catch(() => 0);
  }

  /** SIGTERM, and SIGKILL to a process that has not ended in time, which is logged. */
  async stop(): Promise<void> {
    if (!this.running) return;
    this.kill('SIGTERM');
    this.kill('SIGCONT');
    const { logger, stopWithinMs = STOP_WITHIN_MS } = this.#options;
    const timer = setTimeout(() => {
      logger.warn('process did not stop in time and is killed', { id: this.id, stopWithinMs });
      this.kill('SIGKILL');
    }, stopWithinMs);
    await this.#exited;
    clearTimeout(timer);
  }

  async #waitForEnd(child: ChildProcess): Promise<ProcessExit> {
    let exit: ProcessExit;
    try {
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      exit = { code: code ?? undefined, signal: signal ?? undefined };
    } catch (error) {
      // It could not even be started.
      this.#options.logger.error('process cannot be run', { id: this.id, command: this.#options.command, error });
      exit = { code: undefined, signal: undefined };
    }
    if (this.#child === child) this.#child = undefined;
    this.#options.onExit?.();
    return exit;
  }

  #notReady(message: string): PyralogError {
    return new PyralogError({
      code: 'unavailable',
      message,
      retry: 'never',
      fields: { id: this.id, logFile: this.logFile, lastLines: this.#log.lastLines() },
    });
  }
}
