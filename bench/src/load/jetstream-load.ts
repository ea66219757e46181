/**
 * The publisher of the JetStream peer: asynchronous publishing, pipelined, with a bound on what is unacknowledged. As the
 * Go client does it, every message carries a reply subject of one inbox, and acknowledgements are told apart by it; that
 * costs less than nats.js' own `js.publish`, a promise and a timer a message.
 */
import { assert, PyralogError, silentLogger, text } from '@pyralog/shared/core';
import { connectNats } from '@pyralog/shared/node';
import { type BatchShape, randomValues } from './batch-shape.ts';
import type { LoadPlan, LoadTarget } from './load-plan.ts';
import { runLoad } from './run-load.ts';
import { serveTasks, workerSettings } from './serve-tasks.ts';

export interface JetStreamLoadSettings {
  readonly natsUrl: string;
}

export interface JetStreamLoadTask {
  /** A batch is one message: one record, or the bytes of many. */
  readonly shape: BatchShape;
  readonly plan: LoadPlan;
  /** One for each stream, in turn. */
  readonly subjects: readonly string[];
}

const PAYLOADS = 64;

const settings = workerSettings<JetStreamLoadSettings>();
const transport = await connectNats({ url: settings.natsUrl, name: 'jetstream-publisher', logger: silentLogger });
serveTasks<JetStreamLoadTask>(
  ({ shape, plan, subjects }, observer) => {
    const target = new JetStreamTarget(shape, subjects);
    return runLoad(plan, target, observer).finally(() => target.close());
  },
  () => transport.close(),
);

class JetStreamTarget implements LoadTarget {
  readonly #payloads: readonly Uint8Array[];
  readonly #subjects: readonly string[];
  readonly #inbox = transport.createInbox();
  readonly #waiting = new Map<number, (error?: Error) => void>();
  readonly #acks = transport.connection.subscribe(`${this.#inbox}.*`, {
    callback: (error, message) => this.#acknowledged(error, message.subject, message.data),
  });
  #sent = 0;

  constructor(shape: BatchShape, subjects: readonly string[]) {
    const bytes = shape.recordsPerBatch === 1 ? shape.recordBytes : shape.frameBytes;
    this.#payloads = randomValues(bytes, PAYLOADS);
    this.#subjects = subjects;
  }

  send(acknowledged: (error?: Error) => void): void {
    const sequence = this.#sent++;
    const subject = this.#subjects[sequence % this.#subjects.length];
    const payload = this.#payloads[sequence % PAYLOADS];
    assert(subject !== undefined && payload !== undefined, 'nothing to publish');
    this.#waiting.set(sequence, acknowledged);
    transport.connection.publish(subject, payload, { reply: `${this.#inbox}.${sequence}` });
  }

  close(): Promise<void> {
    this.#acks.unsubscribe();
    return Promise.resolve();
  }

  #acknowledged(error: Error | null, subject: string, data: Uint8Array): void {
    const sequence = Number(subject.slice(this.#inbox.length + 1));
    const acknowledged = this.#waiting.get(sequence);
    this.#waiting.delete(sequence);
    const answer = text(data);
    if (error === null && answer.includes('"seq"')) {
      acknowledged?.();
      return;
    }
    const fields = { answer: answer.slice(0, 200) };
    const cause = error ?? undefined;
    acknowledged?.(new PyralogError({ code: 'unavailable', message: 'jetstream refused a message', fields, cause }));
  }
}
