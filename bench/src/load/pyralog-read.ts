/** A consuming application: reads a log from its beginning, or follows it while records are appended. */
import { connect } from '@pyralog/client';
import { PyralogError } from '@pyralog/shared/core';
import type { WindowObserver } from './load-plan.ts';
import type { CatchUpResult } from './read-result.ts';
import { serveTasks, workerSettings } from './serve-tasks.ts';
import { Tail, type TailPlan, type TailResult } from './tail.ts';

export interface PyralogReadSettings {
  readonly natsUrl: string;
  readonly clusterName: string;
}

export type PyralogReadTask =
  | { readonly kind: 'catch-up'; readonly log: string }
  | { readonly kind: 'tail'; readonly log: string; readonly partitions: number; readonly plan: TailPlan };

const settings = workerSettings<PyralogReadSettings>();
const { natsUrl: url, clusterName } = settings;
const client = await connect({ url, clusterName, name: 'bench-read' });
serveTasks<PyralogReadTask>(
  (task, observer) => (task.kind === 'catch-up' ? catchUp(task.log, observer) : tail(task, observer)),
  () => client.close(),
);

async function catchUp(log: string, observer: WindowObserver): Promise<CatchUpResult> {
  observer.opened();
  const startedAt = performance.now();
  const reader = client.reader(log, { from: 'earliest', follow: false });
  let records = 0;
  let valueBytes = 0;
  for await (const batch of reader.batches()) {
    records += batch.records.length;
    for (const { value } of batch.records) valueBytes += value?.byteLength ?? 0;
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  observer.closed();
  await reader.close();
  return { seconds, records, valueBytes };
}

async function tail(task: PyralogReadTask & { kind: 'tail' }, observer: WindowObserver): Promise<TailResult> {
  const { log, partitions, plan } = task;
  const appending = await connect({ url, clusterName, name: 'bench-tail-append' });
  const producer = appending.producer(log, { lingerMs: 0 });
  const reader = client.reader(log, { from: 'earliest' });
  const measured = new Tail(plan);
  let failure: Error | undefined;
  const failed = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new PyralogError({ code: 'unavailable', message: 'tail failed' });
  };
  const reading = (async () => {
    for await (const { value } of reader) if (value !== undefined) measured.delivered(value);
  })().catch(failed);
  let partition = 0;
  try {
    return await measured.run(
      {
        append: (value) => {
          partition = (partition + 1) % partitions;
          producer.append({ value, partition }).catch(failed);
        },
        get failure() {
          return failure;
        },
      },
      observer,
    );
  } finally {
    await producer.close();
    await reader.close();
    await reading;
    await appending.close();
  }
}
