/**
 * The ceiling: the same bytes through the same NATS server to the same number of processes that do nothing but what must
 * be done, in two variants: with nats.js and Node.js as they come, and with what Pyralog's processes do about both.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { BatchShape } from '../load/batch-shape.ts';
import type { CeilingVariant } from '../load/ceiling-connection.ts';
import type { CeilingLoadSettings, CeilingLoadTask } from '../load/ceiling-load.ts';
import type { CeilingStorageSettings } from '../load/ceiling-protocol.ts';
import type { CeilingStorageResult, CeilingStorageTask } from '../load/ceiling-storage.ts';
import type { LoadPlan, LoadResult, WindowObserver } from '../load/load-plan.ts';
import { Worker } from '../load/worker.ts';
import { type LoadMeasurement, measureLoad } from '../measure/measurement.ts';
import type { RoleProcess } from '../measure/processes.ts';

export interface CeilingMeasurement extends LoadMeasurement {
  /** Of one storage process, over the whole run: how much one `fdatasync` covered. */
  readonly bytesPerCommit: number;
}

export class Ceiling {
  readonly variant: CeilingVariant;
  readonly #load: Worker<CeilingLoadTask, LoadResult>;
  readonly #storage: readonly Worker<CeilingStorageTask, CeilingStorageResult>[];
  readonly #processes: readonly RoleProcess[];

  private constructor(
    variant: CeilingVariant,
    load: Worker<CeilingLoadTask, LoadResult>,
    storage: readonly Worker<CeilingStorageTask, CeilingStorageResult>[],
    natsPid: number,
  ) {
    this.variant = variant;
    this.#load = load;
    this.#storage = storage;
    this.#processes = [
      ...storage.map(({ pid }): RoleProcess => ({ role: 'storage-node', pid })),
      { role: 'nats-server', pid: natsPid },
    ];
  }

  static async start(options: {
    readonly variant: CeilingVariant;
    readonly natsUrl: string;
    readonly natsPid: number;
    readonly directory: string;
    readonly storageProcesses: number;
    readonly replicationFactor: number;
    readonly writeQuorum: number;
    readonly environment: Readonly<Record<string, string>>;
  }): Promise<Ceiling> {
    const { variant, natsUrl, storageProcesses, replicationFactor, writeQuorum, environment } = options;
    const directory = join(options.directory, `ceiling-${variant}`);
    await mkdir(directory, { recursive: true });
    const storage: Worker<CeilingStorageTask, CeilingStorageResult>[] = [];
    try {
      for (let member = 0; member < storageProcesses; member++) {
        const where = { variant, natsUrl, directory };
        const settings: CeilingStorageSettings = { ...where, storageProcesses, replicationFactor, member };
        storage.push(await Worker.start('ceiling-storage', settings, environment));
      }
      const settings: CeilingLoadSettings = { variant, natsUrl, storageProcesses, replicationFactor, writeQuorum };
      const load = await Worker.start<CeilingLoadTask, LoadResult>('ceiling-load', settings, environment);
      return new Ceiling(variant, load, storage, options.natsPid);
    } catch (error) {
      await Promise.all(storage.map((worker) => worker.stop()));
      throw error;
    }
  }

  get storagePids(): readonly number[] {
    return this.#storage.map(({ pid }) => pid);
  }

  async measure(shape: BatchShape, plan: LoadPlan, observer?: WindowObserver): Promise<CeilingMeasurement> {
    await Promise.all(this.#storage.map((worker) => worker.run('begin')));
    const measurement = await measureLoad(this.#load, { shape, plan }, this.#processes, observer);
    const [first] = await Promise.all(this.#storage.map((worker) => worker.run('end')));
    return { ...measurement, bytesPerCommit: first === undefined ? 0 : Math.round(first.bytes / first.commits) };
  }

  async stop(): Promise<void> {
    await Promise.all([this.#load, ...this.#storage].map((worker) => worker.stop()));
  }
}
