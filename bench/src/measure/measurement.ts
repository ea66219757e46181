/** One system under one load: what it did and what it took. */
import type { BatchShape } from '../load/batch-shape.ts';
import type { LoadPlan, LoadResult, WindowObserver } from '../load/load-plan.ts';
import type { CatchUpResult } from '../load/read-result.ts';
import type { TailResult } from '../load/tail.ts';
import type { Worker } from '../load/worker.ts';
import type { LatencyMs } from './latency.ts';
import {
  type CpuReading,
  type CpuSeconds,
  cpuBetween,
  ROLES,
  type Role,
  type RoleProcess,
  readCpu,
  readMemory,
} from './processes.ts';

/** Of the measured window. */
export interface Usage {
  readonly cpuSeconds: CpuSeconds;
  /** At its end. */
  readonly memoryBytes: Readonly<Record<Role, number>>;
}

export interface Throughput {
  readonly seconds: number;
  readonly records: number;
  readonly recordsPerSecond: number;
  /** Of the records' values alone, 10^6 bytes. */
  readonly megabytesPerSecond: number;
  /** CPU time of all roles, microseconds: what a record costs, however busy the machine is with other things. */
  readonly cpuMicrosPerRecord: number;
}

export interface LoadMeasurement extends Throughput, Usage {
  /** From a batch being handed over to its acknowledgement. */
  readonly latencyMs: LatencyMs;
}

export interface CatchUpMeasurement extends Throughput, Usage {}

export interface TailMeasurement extends Usage {
  /** From a record's append to its delivery. */
  readonly latencyMs: LatencyMs;
}

/** Has `worker` carry out a load plan. `observer`, too, hears of its window. */
export async function measureLoad<Task extends { readonly shape: BatchShape; readonly plan: LoadPlan }>(
  worker: Worker<Task, LoadResult>,
  task: Task,
  processes: readonly RoleProcess[],
  observer?: WindowObserver,
): Promise<LoadMeasurement> {
  const [{ seconds, batches, latencyMs }, usage] = await measured(worker, task, processes, observer);
  const records = batches * task.shape.recordsPerBatch;
  return { ...throughput(seconds, records, records * task.shape.recordBytes, usage), latencyMs, ...usage };
}

/** Has `worker` read all there is. */
export async function measureCatchUp<Task>(
  worker: Worker<Task, CatchUpResult>,
  task: Task,
  processes: readonly RoleProcess[],
): Promise<CatchUpMeasurement> {
  const [{ seconds, records, valueBytes }, usage] = await measured(worker, task, processes);
  return { ...throughput(seconds, records, valueBytes, usage), ...usage };
}

/** Has `worker` append and follow. */
export async function measureTail<Task>(
  worker: Worker<Task, TailResult>,
  task: Task,
  processes: readonly RoleProcess[],
): Promise<TailMeasurement> {
  const [{ latencyMs }, usage] = await measured(worker, task, processes);
  return { latencyMs, ...usage };
}

async function measured<Task, Result>(
  worker: Worker<Task, Result>,
  task: Task,
  others: readonly RoleProcess[],
  observer?: WindowObserver,
): Promise<[Result, Usage]> {
  const processes: RoleProcess[] = [...others, { role: 'client', pid: worker.pid }];
  let from: CpuReading | undefined;
  let usage: Usage | undefined;
  const result = await worker.run(task, {
    opened: () => {
      observer?.opened();
      from = readCpu(processes);
    },
    closed: () => {
      observer?.closed();
      if (from === undefined) return;
      usage = { cpuSeconds: cpuBetween(from, readCpu(processes)), memoryBytes: readMemory(processes) };
    },
  });
  if (usage === undefined) throw new Error('measured window did not close');
  return [result, usage];
}

function throughput(seconds: number, records: number, valueBytes: number, usage: Usage): Throughput {
  const cpuSeconds = ROLES.reduce((sum, role) => sum + usage.cpuSeconds[role], 0);
  return {
    seconds,
    records,
    recordsPerSecond: records / seconds,
    megabytesPerSecond: valueBytes / 1e6 / seconds,
    cpuMicrosPerRecord: (cpuSeconds * 1e6) / records,
  };
}
