/** A store on a disk and an index in memory, with everything in front of it but NATS. */
import {
  type BatchIndex,
  type Clock,
  checkFrame,
  type Epoch,
  type Incarnation,
  type Logger,
  type Offset,
  type PartitionId,
  type SegmentDisk,
  type StorageNodeId,
  Subjects,
} from '@pyralog/shared/core';
import { nativeCrc32, systemRandom } from '@pyralog/shared/node';
import { Acknowledgements } from '../../core/acknowledgements.ts';
import type { CommitLimits } from '../../core/commit-limits.ts';
import { Counters } from '../../core/counters.ts';
import { RateLimitedWarnings } from '../../core/rate-limited-warnings.ts';
import { SegmentStore } from '../../core/segment-store.ts';
import { StoreAdmission } from '../../core/store-admission.ts';
import { LocalTransport } from './local-transport.ts';
import { looseClock, settle } from './loose-clock.ts';
import { MemoryDisk } from './memory-disk.ts';
import { MemoryIndex } from './memory-index.ts';

export const INCARNATION = '00112233aabbccdd' as Incarnation;
export const NODE = 'n1' as StorageNodeId;
export const SUBJECTS = new Subjects('test');
const ACKS = `${SUBJECTS.acksPrefix}s1`;

export interface TestStoreOptions {
  readonly disk?: SegmentDisk;
  readonly index?: BatchIndex;
  readonly limits?: Partial<CommitLimits>;
  readonly recentBytesMax?: number;
  readonly clock?: Clock;
  readonly transport?: LocalTransport;
  readonly checkpointIntervalMs?: number;
  readonly incarnation?: Incarnation;
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
}

export class TestStore {
  readonly store: SegmentStore;
  readonly transport: LocalTransport;
  readonly counters: Counters;
  readonly warnings: RateLimitedWarnings;
  readonly fatal: unknown[];
  readonly log: LogLine[];
  readonly #admission: StoreAdmission;

  private constructor(
    parts: Pick<TestStore, 'store' | 'transport' | 'counters' | 'warnings' | 'fatal' | 'log'>,
    acknowledgements: Acknowledgements,
  ) {
    this.store = parts.store;
    this.transport = parts.transport;
    this.counters = parts.counters;
    this.warnings = parts.warnings;
    this.fatal = parts.fatal;
    this.log = parts.log;
    const { gates, directory, writer, space } = parts.store;
    this.#admission = new StoreAdmission({
      gates,
      directory,
      writer,
      space,
      acknowledgements,
      counters: parts.counters,
      warnings: parts.warnings,
      crc32: nativeCrc32,
      acksPrefix: SUBJECTS.acksPrefix,
    });
  }

  static async open(options: TestStoreOptions = {}): Promise<TestStore> {
    const {
      disk = new MemoryDisk(),
      index = new MemoryIndex(),
      transport = new LocalTransport(),
      clock = looseClock,
    } = options;
    const log: LogLine[] = [];
    const write = (level: string) => (message: string) => void log.push({ level, message });
    const logger: Logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
    const fatal: unknown[] = [];
    const counters = new Counters();
    const acknowledgements = new Acknowledgements({ nodeId: NODE, incarnation: INCARNATION, transport, clock, logger });
    const store = await SegmentStore.open({
      limits: {
        segmentBytes: 1 << 20,
        commitBytesMax: 1 << 18,
        commitDelayMs: 0,
        flushIntervalMs: 5,
        ...options.limits,
      },
      recentBytesMax: options.recentBytesMax ?? 0,
      checkpointIntervalMs: options.checkpointIntervalMs ?? 1_000_000,
      incarnation: options.incarnation ?? INCARNATION,
      disk,
      openIndex: () => Promise.resolve(index),
      acknowledgements,
      counters,
      clock,
      random: systemRandom,
      crc32: nativeCrc32,
      logger,
      onFatal: (reason) => fatal.push(reason),
    });
    const warnings = new RateLimitedWarnings(logger, clock);
    return new TestStore({ store, transport, counters, warnings, fatal, log }, acknowledgements);
  }

  /** Hands a frame over as if it had arrived; without a reply subject when that is empty. */
  receive(frame: Uint8Array, replyTo = ACKS): void {
    this.#admission.receive({
      subject: `${SUBJECTS.prefix}store.ns.1.n1`,
      payload: frame,
      replyTo: replyTo || undefined,
    });
  }

  /** Stores frames and waits until they are committed and answered. */
  async save(...frames: Uint8Array[]): Promise<void> {
    for (const frame of frames) this.receive(frame);
    await this.store.writer.flush();
    await settle(2);
  }

  /** Base offsets of what the directory has of an epoch. */
  offsets(partitionId = 1, epoch = 1): number[] {
    return this.#range(partitionId, epoch).map(({ baseOffset }) => baseOffset);
  }

  /** The same, of which a sound frame lies where the directory says. */
  async soundOffsets(partitionId = 1, epoch = 1): Promise<number[]> {
    const sound: number[] = [];
    for (const { segmentId, position, length, baseOffset } of this.#range(partitionId, epoch)) {
      const bytes = await this.store.segments.use(segmentId, (file) => file.read(position, length));
      const header = checkFrame(bytes, nativeCrc32);
      if (header.partitionId === partitionId && header.epoch === epoch && header.baseOffset === baseOffset)
        sound.push(baseOffset);
    }
    return sound;
  }

  #range(partitionId: number, epoch: number) {
    return this.store.directory.range({
      partitionId: partitionId as PartitionId,
      epoch: epoch as Epoch,
      from: 0 as Offset,
      until: Number.MAX_SAFE_INTEGER as Offset,
      limit: 1_000_000,
    });
  }
}
