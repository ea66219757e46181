/**
 * The publisher of the ceiling: publishes frames that were encoded beforehand, each to the RF storage processes that
 * subscribe to its subject, and counts one as acknowledged when W of them have it on disk.
 */
import { assert, PyralogError } from '@pyralog/shared/core';
import { createInbox } from 'nats';
import type { BatchShape } from './batch-shape.ts';
import { type CeilingVariant, connectCeiling } from './ceiling-connection.ts';
import { ceilingFrames, ceilingSubject, decodeCeilingAck } from './ceiling-protocol.ts';
import { Fifo } from './fifo.ts';
import type { LoadPlan, LoadTarget } from './load-plan.ts';
import { runLoad } from './run-load.ts';
import { serveTasks, workerSettings } from './serve-tasks.ts';

export interface CeilingLoadSettings {
  readonly variant: CeilingVariant;
  readonly natsUrl: string;
  readonly storageProcesses: number;
  readonly replicationFactor: number;
  readonly writeQuorum: number;
}

export interface CeilingLoadTask {
  readonly shape: BatchShape;
  readonly plan: LoadPlan;
}

/** Distinct frames, sent in turn. */
const FRAMES = 16;
/** For the last copies to be acknowledged, once W of each are. */
const LAST_COPIES_WITHIN_MS = 10_000;

interface PendingFrame {
  copies: number;
  readonly acknowledged: () => void;
}

const settings = workerSettings<CeilingLoadSettings>();
const { variant, natsUrl } = settings;
const connection = await connectCeiling({ variant, natsUrl, name: 'ceiling-publisher' });
serveTasks<CeilingLoadTask>(
  async ({ shape, plan }, observer) => {
    const target = new CeilingTarget(ceilingFrames(shape, FRAMES));
    const result = await runLoad(plan, target, observer);
    await target.close();
    return result;
  },
  () => connection.close(),
);

class CeilingTarget implements LoadTarget {
  readonly #frames: readonly Uint8Array[];
  readonly #inbox = createInbox();
  /** What each storage process has yet to acknowledge, in the order in which it receives it. */
  readonly #pending = Array.from({ length: settings.storageProcesses }, () => new Fifo<PendingFrame>());
  /** Frames that each storage process has on disk. */
  readonly #counts = new Array<number>(settings.storageProcesses).fill(0);
  readonly #acks = connection.subscribe(this.#inbox, {
    callback: (_, message) => this.#acknowledged(message.data),
  });
  #sent = 0;
  #incomplete = 0;
  #onComplete: (() => void) | undefined;

  constructor(frames: readonly Uint8Array[]) {
    this.#frames = frames;
  }

  send(acknowledged: () => void): void {
    const frame = this.#frames[this.#sent % FRAMES];
    assert(frame !== undefined, 'no frame to send');
    const first = this.#sent % settings.storageProcesses;
    const pending: PendingFrame = { copies: 0, acknowledged };
    for (let copy = 0; copy < settings.replicationFactor; copy++) {
      this.#pending[(first + copy) % settings.storageProcesses]?.push(pending);
    }
    this.#sent++;
    this.#incomplete++;
    connection.publish(ceilingSubject(variant, first), frame, { reply: this.#inbox });
  }

  /** Waits for the copies beyond W, so that the next run begins with nothing under way. */
  async close(): Promise<void> {
    if (this.#incomplete > 0) {
      let timer: NodeJS.Timeout | undefined;
      const expired = new Promise<never>((_, reject) => {
        const error = new PyralogError({ code: 'timeout', message: 'last copies were not acknowledged' });
        timer = setTimeout(() => reject(error), LAST_COPIES_WITHIN_MS);
      });
      const complete = new Promise<void>((resolve) => {
        this.#onComplete = resolve;
      });
      await Promise.race([complete, expired]).finally(() => clearTimeout(timer));
    }
    this.#acks.unsubscribe();
  }

  #acknowledged(payload: Uint8Array): void {
    const { member, count } = decodeCeilingAck(payload);
    const pending = this.#pending[member];
    assert(pending !== undefined, 'acknowledgement of an unknown storage process');
    for (let acknowledged = this.#counts[member] ?? 0; acknowledged < count; acknowledged++) {
      const frame = pending.shift();
      assert(frame !== undefined, 'acknowledgement of more frames than were sent');
      frame.copies++;
      if (frame.copies === settings.replicationFactor) this.#incomplete--;
      if (frame.copies === settings.writeQuorum) frame.acknowledged();
    }
    this.#counts[member] = count;
    if (this.#incomplete === 0) this.#onComplete?.();
  }
}
