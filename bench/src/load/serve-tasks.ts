/** The worker's side of `worker.ts`: takes tasks from the parent until the parent lets go of it. */
import { assert, describeError } from '@pyralog/shared/core';
import type { WindowObserver } from './load-plan.ts';
import type { WorkerMessage, WorkerTask } from './worker.ts';

/** What the parent passed at the start. */
export function workerSettings<Settings>(): Settings {
  const argument = process.argv[2];
  assert(argument !== undefined, 'worker was started without its settings');
  return JSON.parse(argument) as Settings;
}

/**
 * Runs each task that the parent sends. `stop` runs when the parent lets go; then the process ends.
 */
export function serveTasks<Task>(
  run: (task: Task, observer: WindowObserver) => Promise<unknown>,
  stop: () => Promise<void>,
): void {
  const observer: WindowObserver = {
    opened: () => tell({ kind: 'window-opened' }),
    closed: () => tell({ kind: 'window-closed' }),
  };
  process.on('message', (message) => {
    const { task } = message as WorkerTask<Task>;
    run(task, observer).then(
      (result) => tell({ kind: 'result', result }),
      (error: unknown) => tell({ kind: 'failed', problem: describeError(error) }),
    );
  });
  process.once('disconnect', () => {
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`error: ${describeError(error)}\n`);
        process.exit(1);
      },
    );
  });
  // A Ctrl-C reaches every process of the terminal: the parent decides when this one ends.
  process.on('SIGINT', () => {});
  tell({ kind: 'ready' });
}

function tell(message: WorkerMessage): void {
  if (process.connected) process.send?.(message);
}
