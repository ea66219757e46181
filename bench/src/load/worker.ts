/**
 * A process of the benchmark, started by it and told over its IPC channel what to do: one task at a time, each with one
 * result. This is the parent's side; `serve-tasks.ts` is the worker's.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { assert, PyralogError } from '@pyralog/shared/core';
import type { WindowObserver } from './load-plan.ts';

/** From the worker. `failed` ends the task. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'window-opened' }
  | { readonly kind: 'window-closed' }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly problem: string };

export interface WorkerTask<Task> {
  readonly kind: 'task';
  readonly task: Task;
}

/** A worker that does not end by itself in this time is killed. */
const STOP_WITHIN_MS = 5_000;
const NO_OBSERVER: WindowObserver = { opened() {}, closed() {} };

interface Waiting {
  readonly observer: WindowObserver;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Worker<Task, Result> {
  readonly name: string;
  readonly #child: ChildProcess;
  #waiting: Waiting | undefined;
  #exited = false;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    child.on('message', (message) => this.#receive(message as WorkerMessage));
    child.on('exit', (exitCode, signal) => {
      this.#exited = true;
      const fields = { worker: name, exitCode: exitCode ?? undefined, signal: signal ?? undefined };
      this.#settle()?.reject(new PyralogError({ code: 'closed', message: 'benchmark process ended early', fields }));
    });
  }

  /**
   * Starts `module` (a file beside this one, without its extension) and waits until it is ready.
   * @param settings what it is to know from the start
   */
  static async start<Task, Result>(
    module: string,
    settings: unknown,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Worker<Task, Result>> {
    const child = fork(fileURLToPath(new URL(`./${module}.js`, import.meta.url)), [JSON.stringify(settings)], {
      stdio: ['ignore', 2, 2, 'ipc'],
      execArgv: [],
      env: { ...process.env, ...environment },
    });
    const worker = new Worker<Task, Result>(module, child);
    await worker.#wait(NO_OBSERVER);
    return worker;
  }

  get pid(): number {
    assert(this.#child.pid !== undefined, 'worker has no pid');
    return this.#child.pid;
  }

  /** @throws PyralogError `unavailable` with the worker's own words; `closed` when it ended. */
  async run(task: Task, observer: WindowObserver = NO_OBSERVER): Promise<Result> {
    const result = this.#wait(observer);
    const message: WorkerTask<Task> = { kind: 'task', task };
    this.#child.send(message);
    return (await result) as Result;
  }

  async stop(): Promise<void> {
    if (this.#exited) return;
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_WITHIN_MS);
    await exited;
    clearTimeout(timer);
  }

  #wait(observer: WindowObserver): Promise<unknown> {
    assert(this.#waiting === undefined, 'worker does one task at a time');
    if (this.#exited) {
      const fields = { worker: this.name };
      return Promise.reject(new PyralogError({ code: 'closed', message: 'benchmark process has ended', fields }));
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { observer, resolve, reject };
    });
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'ready':
        this.#settle()?.resolve(undefined);
        return;
      case 'window-opened':
        this.#waiting?.observer.opened();
        return;
      case 'window-closed':
        this.#waiting?.observer.closed();
        return;
      case 'result':
        this.#settle()?.resolve(message.result);
        return;
      case 'failed': {
        const fields = { worker: this.name, problem: message.problem };
        this.#settle()?.reject(new PyralogError({ code: 'unavailable', message: 'benchmark process failed', fields }));
      }
    }
  }

  #settle(): Waiting | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }
}
