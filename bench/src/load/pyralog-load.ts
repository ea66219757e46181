/**
 * A producing application: writes records by `Producer.write`, the client's hot path, and hears of each batch by
 * `onAcknowledged`. A batch is handed over when its records have been written; they are gathered, encoded, summed and sent
 * by the client as for any application.
 */
import { connect, type Producer, type RecordInput } from '@pyralog/client';
import { assert } from '@pyralog/shared/core';
import { type BatchShape, randomValues } from './batch-shape.ts';
import { Fifo } from './fifo.ts';
import type { LoadPlan, LoadTarget } from './load-plan.ts';
import { runLoad } from './run-load.ts';
import { serveTasks, workerSettings } from './serve-tasks.ts';

export interface PyralogLoadSettings {
  readonly natsUrl: string;
  readonly clusterName: string;
}

export interface PyralogLoadTask {
  readonly log: string;
  readonly partitions: number;
  /** Batches go to them in turn. */
  readonly producers: number;
  readonly shape: BatchShape;
  readonly plan: LoadPlan;
}

const settings = workerSettings<PyralogLoadSettings>();
const client = await connect({ url: settings.natsUrl, clusterName: settings.clusterName, name: 'bench-load' });
serveTasks<PyralogLoadTask>(
  async (task, observer) => {
    const target = new PyralogTarget(task);
    try {
      await target.warmUp();
      return await runLoad(task.plan, target, observer);
    } finally {
      await target.close();
    }
  },
  () => client.close(),
);

/** One partition as one producer sees it. */
interface Lane {
  readonly producer: Producer;
  readonly records: readonly RecordInput[];
  /** Batches of the load written and not acknowledged, in order. */
  readonly waiting: Fifo<() => void>;
  /** Records acknowledged of the first of them. */
  acknowledgedRecords: number;
}

class PyralogTarget implements LoadTarget {
  readonly #recordsPerBatch: number;
  readonly #producers: readonly Producer[];
  readonly #lanes: readonly Lane[];
  #isWarm = false;
  #sent = 0;

  constructor(task: PyralogLoadTask) {
    const { log, partitions, producers, shape, plan } = task;
    this.#recordsPerBatch = shape.recordsPerBatch;
    const values = randomValues(shape.recordBytes, shape.recordsPerBatch);
    const lanes: Lane[] = [];
    this.#producers = Array.from({ length: producers }, (_, index) => {
      const first = index * partitions;
      return client.producer(log, {
        lingerMs: 0,
        // At a low rate a batch is what one turn wrote: one record, or more when the batches before it are not answered.
        ...(plan.kind === 'paced' ? {} : { batchBytes: shape.batchBytes }),
        onAcknowledged: ({ partition, count }) => this.#acknowledged(lanes[first + partition], count),
      });
    });
    for (const producer of this.#producers) {
      for (let partition = 0; partition < partitions; partition++) {
        lanes.push({
          producer,
          records: values.map((value) => ({ value, partition })),
          waiting: new Fifo(),
          acknowledgedRecords: 0,
        });
      }
    }
    this.#lanes = lanes;
  }

  /** One record to every lane: the topology is known, and each partition's first batch, which goes alone, is behind. */
  async warmUp(): Promise<void> {
    await Promise.all(this.#lanes.map(({ producer, records: [record = {}] }) => producer.append(record)));
    this.#isWarm = true;
  }

  send(acknowledged: () => void): void {
    const lane = this.#lanes[this.#sent % this.#lanes.length];
    assert(lane !== undefined, 'load has no partition');
    this.#sent++;
    lane.waiting.push(acknowledged);
    const { producer, records } = lane;
    for (const record of records) {
      // There is always room: the plan keeps less in flight than the producer takes.
      assert(producer.write(record) === undefined, 'producer has no room');
    }
  }

  /** @throws PyralogError why a batch was not acknowledged. */
  async close(): Promise<void> {
    await Promise.all(this.#producers.map((producer) => producer.close()));
  }

  #acknowledged(lane: Lane | undefined, count: number): void {
    if (!this.#isWarm) return;
    assert(lane !== undefined, 'acknowledgement of a partition that was not written to');
    lane.acknowledgedRecords += count;
    while (lane.acknowledgedRecords >= this.#recordsPerBatch) {
      lane.acknowledgedRecords -= this.#recordsPerBatch;
      const acknowledged = lane.waiting.shift();
      assert(acknowledged !== undefined, 'acknowledgement of more batches than were written');
      acknowledged();
    }
  }
}
