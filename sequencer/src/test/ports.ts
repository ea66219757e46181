/** Ports under the control of a test: a transport that keeps what was published, a clock that a test advances. */
import {
  type Clock,
  crc32,
  encodeBody,
  type Fragment,
  type Incarnation,
  type Message,
  type Nonce,
  type PartitionId,
  type PartitionRecord,
  type Registration,
  type SequencerId,
  type StorageNodeId,
  type StoreAck,
  Subjects,
  type Timer,
  type Transport,
  type TransportStatus,
  writeClientHeader,
} from '@pyralog/shared/core';
import { ServingPartition, type ServingPorts } from '../core/serving-partition.ts';
import { Window, type WindowLimits } from '../core/window.ts';

export interface Published {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly replyTo: string | undefined;
}

export class RecordingTransport implements Transport {
  readonly payloadBytesMax = 8 * 1024 * 1024;
  readonly status: TransportStatus = 'connected';
  readonly published: Published[] = [];

  publish(subject: string, payload: Uint8Array, replyTo?: string): void {
    this.published.push({ subject, payload, replyTo });
  }
  /** What was published on subjects that begin with `prefix`, and forgets it. */
  take(prefix: string): Published[] {
    const taken = this.published.filter(({ subject }) => subject.startsWith(prefix));
    const kept = this.published.filter(({ subject }) => !subject.startsWith(prefix));
    this.published.splice(0, this.published.length, ...kept);
    return taken;
  }
  subscribe(): Registration {
    return { cancel() {} };
  }
  request(): Promise<Message> {
    return Promise.reject(new Error('this transport takes no requests'));
  }
  createInbox(): string {
    return '_INBOX.test';
  }
  flush(): Promise<void> {
    return Promise.resolve();
  }
  onStatus(): Registration {
    return { cancel() {} };
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

export class ManualClock implements Clock {
  #nowMs = 1_000_000;
  #wallShiftMs = 0;
  readonly #timers: { atMs: number; callback: () => void; cancelled: boolean }[] = [];

  wallMs(): number {
    return Math.floor(this.#nowMs + this.#wallShiftMs);
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  /** Sets the wall clock forward or back. */
  shiftWall(byMs: number): void {
    this.#wallShiftMs += byMs;
  }
  schedule(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, callback, cancelled: false };
    this.#timers.push(timer);
    return {
      cancel() {
        timer.cancelled = true;
      },
    };
  }
  defer(callback: () => void): void {
    this.schedule(0, callback);
  }
  advance(byMs: number): void {
    const until = this.#nowMs + byMs;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= until).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.splice(this.#timers.indexOf(due), 1);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      if (!due.cancelled) due.callback();
    }
    this.#nowMs = until;
  }
}

export const NODES = ['node-a', 'node-b', 'node-c', 'node-d'] as StorageNodeId[];
export const PARTITION = 7 as PartitionId;
export const NONCE = 0x1234_5678_9abc_def0n as Nonce;

export function fragment(changes: Partial<Fragment> = {}): Fragment {
  return {
    epoch: 3 as Fragment['epoch'],
    nonce: NONCE,
    sequencerId: 'sequencer-1' as SequencerId,
    start: 100 as Fragment['start'],
    slots: NODES.map((nodeId) => ({ nodeId, incarnation: '0000000000000001' as Incarnation })),
    replicationFactor: 3,
    writeQuorum: 2,
    strategy: 'per-record',
    seed: 42,
    scatterWidth: 8,
    durability: 'fsync',
    ...changes,
  };
}

export function emptyRecord(): PartitionRecord {
  return {
    partitionId: PARTITION,
    lastEpoch: 3 as PartitionRecord['lastEpoch'],
    fragments: [],
    trimPoint: 0 as PartitionRecord['trimPoint'],
    tieredOffset: 0 as PartitionRecord['tieredOffset'],
    lastAppendTimeMs: 0,
    producersAt: 100 as PartitionRecord['producersAt'],
    producers: [],
  };
}

export class Bench {
  readonly transport = new RecordingTransport();
  readonly clock = new ManualClock();
  readonly window: Window;
  readonly partition: ServingPartition;
  readonly fencedBy: number[] = [];
  releases = 0;
  #replies = 0;

  constructor(
    options: { limits?: Partial<WindowLimits>; fragment?: Partial<Fragment>; record?: Partial<PartitionRecord> } = {},
  ) {
    this.window = new Window({
      partitionBytesMax: 1_000_000,
      partitionBatchesMax: 1_000,
      bytesMax: 10_000_000,
      lateBytesMax: 1_000_000,
      ...options.limits,
    });
    const ports: ServingPorts = {
      transport: this.transport,
      subjects: new Subjects('test'),
      clock: this.clock,
      crc32,
      window: this.window,
      onReleased: () => {
        this.releases++;
      },
      onFenced: (_, epoch) => this.fencedBy.push(epoch),
    };
    this.partition = new ServingPartition({
      partitionId: PARTITION,
      namespace: 'ns',
      fragment: fragment(options.fragment),
      sequencerId: 'sequencer-1' as SequencerId,
      record: { ...emptyRecord(), ...options.record },
      ports,
    });
  }

  /** Appends `payload`; returns the subject that the answer goes to. */
  append(payload: Uint8Array): string {
    const replyTo = `reply.${this.#replies++}.`;
    this.partition.append({ subject: this.partition.appendSubject, payload, replyTo });
    return replyTo;
  }

  /** The stores published since the last call. */
  stores(): Published[] {
    return this.transport.take('pyra.test.store.');
  }

  /** The answer on `replyTo`, if there is one. */
  answer(replyTo: string): Uint8Array | undefined {
    return this.transport.take(replyTo)[0]?.payload;
  }

  acknowledge(
    nodeId: string,
    baseOffset: number,
    changes: Partial<StoreAck> = {},
    incarnation = '0000000000000001',
  ): void {
    this.partition.acknowledged(nodeId as StorageNodeId, incarnation as Incarnation, {
      partitionId: PARTITION,
      epoch: this.partition.epoch,
      nonce: NONCE,
      baseOffset: baseOffset as StoreAck['baseOffset'],
      verdict: 'stored',
      sealedEpoch: 0 as StoreAck['sealedEpoch'],
      ...changes,
    });
  }
}

/** Nodes that a store's subject names. */
export function copysetOf(store: Published | undefined): string[] {
  return store === undefined ? [] : store.subject.split('.').slice(5);
}

export function batch(
  options: {
    records?: number;
    producerId?: bigint;
    producerEpoch?: number;
    sequence?: number;
    valueBytes?: number;
  } = {},
): Uint8Array {
  const { records = 1, producerId = 0n, producerEpoch = 0, sequence = 0, valueBytes = 10 } = options;
  const frame = encodeBody(Array.from({ length: records }, () => [0, null, new Uint8Array(valueBytes)]));
  writeClientHeader(
    frame,
    {
      codec: 'none',
      recordCount: records,
      producerId,
      producerEpoch,
      baseSequence: sequence,
      baseTimestampMs: 1_700_000_000_000,
      bodyBytes: frame.byteLength - 96,
    },
    crc32,
  );
  return frame;
}
