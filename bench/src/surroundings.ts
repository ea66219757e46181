/** What every run needs: a temporary directory, a nats-server, a place to say how far it is. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findNatsServer } from '@pyralog/infra';
import { type Logger, silentLogger } from '@pyralog/shared/core';
import type { Interrupt } from './interrupt.ts';
import { describeMachine, type Machine } from './measure/machine.ts';

export interface Surroundings {
  readonly directory: string;
  readonly machine: Machine;
  readonly logger: Logger;
  readonly interrupt: Interrupt;
  /** Says on stderr what is being done. */
  progress(text: string): void;
}

export type SurroundingsOptions = Pick<Surroundings, 'interrupt' | 'progress'>;

/** Calls `use` with a directory that is removed afterwards. */
export async function withSurroundings<Result>(
  options: SurroundingsOptions,
  use: (surroundings: Surroundings) => Promise<Result>,
): Promise<Result> {
  const logger = silentLogger;
  const { version } = await options.interrupt.during(findNatsServer({ logger }));
  const directory = await mkdtemp(join(tmpdir(), 'pyralog-bench-'));
  try {
    const machine = describeMachine({ directory, natsServer: version });
    return await use({ ...options, directory, machine, logger });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Stops everything in `started`, last first, whatever `use` did. */
export async function stopping<Result>(
  use: (started: { push(...things: { stop(): Promise<void> }[]): void }) => Promise<Result>,
): Promise<Result> {
  const started: { stop(): Promise<void> }[] = [];
  try {
    return await use(started);
  } finally {
    for (const thing of started.reverse()) await thing.stop();
  }
}
