/**
 * The consuming application of the JetStream peer: an ordered consumer a stream, with a callback, which is the fastest way
 * that nats.js has to read in order.
 */
import { PyralogError, silentLogger, text } from '@pyralog/shared/core';
import { connectNats } from '@pyralog/shared/node';
import type { ConsumerMessages } from 'nats';
import type { WindowObserver } from './load-plan.ts';
import type { CatchUpResult } from './read-result.ts';
import { serveTasks, workerSettings } from './serve-tasks.ts';
import { Tail, type TailPlan, type TailResult } from './tail.ts';

export interface JetStreamReadSettings {
  readonly natsUrl: string;
}

export interface PeerStream {
  readonly name: string;
  readonly subject: string;
}

export type JetStreamReadTask =
  | { readonly kind: 'catch-up'; readonly streams: readonly PeerStream[]; readonly records: number }
  | { readonly kind: 'tail'; readonly streams: readonly PeerStream[]; readonly plan: TailPlan };

/** Messages that a consumer may have on the way; the default of 100 is slower. */
const MESSAGES_AHEAD = 5_000;

const { natsUrl: url } = workerSettings<JetStreamReadSettings>();
const transport = await connectNats({ url, name: 'jetstream-reader', logger: silentLogger });
serveTasks<JetStreamReadTask>(
  (task, observer) => (task.kind === 'catch-up' ? catchUp(task, observer) : tail(task, observer)),
  () => transport.close(),
);

async function catchUp(
  task: JetStreamReadTask & { kind: 'catch-up' },
  observer: WindowObserver,
): Promise<CatchUpResult> {
  observer.opened();
  const startedAt = performance.now();
  let records = 0;
  let valueBytes = 0;
  let finished = (): void => {};
  const complete = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const consuming = await consume(task.streams, (data) => {
    records++;
    valueBytes += data.byteLength;
    if (records === task.records) finished();
  });
  await complete;
  const seconds = (performance.now() - startedAt) / 1_000;
  observer.closed();
  await stop(consuming);
  return { seconds, records, valueBytes };
}

async function tail(task: JetStreamReadTask & { kind: 'tail' }, observer: WindowObserver): Promise<TailResult> {
  const { streams, plan } = task;
  const measured = new Tail(plan);
  const appending = await connectNats({ url, name: 'jetstream-tail-append', logger: silentLogger });
  const inbox = appending.createInbox();
  let failure: Error | undefined;
  const acks = appending.subscribe(inbox, ({ payload }) => {
    const answer = text(payload);
    if (answer.includes('"seq"')) return;
    failure ??= new PyralogError({ code: 'unavailable', message: 'jetstream refused a message', fields: { answer } });
  });
  const consuming = await consume(streams, (data) => measured.delivered(data));
  let next = 0;
  try {
    return await measured.run(
      {
        append: (value) => {
          appending.publish(streams[next++ % streams.length]?.subject ?? '', value, inbox);
        },
        get failure() {
          return failure;
        },
      },
      observer,
    );
  } finally {
    acks.cancel();
    await stop(consuming);
    await appending.close();
  }
}

async function consume(
  streams: readonly PeerStream[],
  onMessage: (data: Uint8Array) => void,
): Promise<ConsumerMessages[]> {
  const jetstream = transport.connection.jetstream();
  const consuming: ConsumerMessages[] = [];
  for (const { name } of streams) {
    const consumer = await jetstream.consumers.get(name);
    const callback = ({ data }: { data: Uint8Array }): void => onMessage(data);
    consuming.push(await consumer.consume({ max_messages: MESSAGES_AHEAD, callback }));
  }
  return consuming;
}

async function stop(consuming: readonly ConsumerMessages[]): Promise<void> {
  for (const messages of consuming) await messages.close();
}
