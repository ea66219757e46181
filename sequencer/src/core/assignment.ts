/**
 * Which partitions this sequencer serves. Every sequencer ranks the live ones per partition by rendezvous hashing and
 * takes what is ranked to itself: from the dead, or from nobody. What is ranked to another live sequencer is handed over
 * by its owner. Nobody directs this: two sequencers that see different neighbours both try, and compare-and-set decides.
 */
import {
  describeError,
  type Epoch,
  hashWords,
  type LogConfig,
  murmur2,
  openFragment,
  type PartitionId,
  PyralogError,
  rendezvousRank,
  type SequencerId,
  unreachable,
  utf8,
} from '@pyralog/shared/core';
import { type Activation, activate } from './activation.ts';
import { closePartition } from './closing.ts';
import type { StoredRecord } from './metadata-view.ts';
import { type RecoveryPorts, type RecoveryStatus, recover } from './recovery/recover.ts';
import { ServingPartition, type ServingPorts } from './serving-partition.ts';
import { nodesetIsOutdated, snapshotIsDue, snapshotProducers } from './upkeep.ts';

/**
 * Activations, recoveries and closings under way at once: enough to share messages and syncs, and few enough that the first
 * partitions work again long before the last.
 */
const CHANGES_IN_FLIGHT_MAX = 64;
/** Partitions that are being handed over at once: the fewer, the shorter the pause of each. */
const HANDOVERS_IN_FLIGHT_MAX = 8;
const DRAIN_ROUNDS_MAX = 3;
/** Snapshots and changes of nodeset under way at once. */
const MAINTENANCE_IN_FLIGHT_MAX = 16;
const NODESETS_CHECKED_EVERY_MS = 1_000;
/** The living hand over only after the set of live sequencers has been the same for this long. */
const SETTLED_AFTER_MS = 2_000;
/** A partition whose change failed is not tried again before. */
const RETRY_AFTER_MS = 250;
const FAILURES_REPORTED_EVERY_MS = 1_000;

export interface AssignmentPorts extends RecoveryPorts, ServingPorts {
  /** The partition's fragments changed; `owner` has opened `epoch`, or it was closed and there is no owner. */
  readonly onTopologyChange: (partitionId: PartitionId, epoch: Epoch, owner: SequencerId | undefined) => void;
  /** Something changed that asks for a review. */
  readonly onReviewNeeded: () => void;
}

export class Assignment {
  /** Partitions of which this process holds the open epoch; draining ones included. */
  readonly serving = new Map<PartitionId, ServingPartition>();
  /** Partitions that this process is taking over. */
  readonly recovering = new Map<PartitionId, RecoveryStatus>();
  readonly #ports: AssignmentPorts;
  readonly #changing = new Set<PartitionId>();
  readonly #notBefore = new Map<PartitionId, number>();
  /** Epochs above our own that storage nodes reported: the next claim goes above them. */
  readonly #seenEpochs = new Map<PartitionId, Epoch>();
  /** First of the ranking by partition, for the candidates `#ranked`. */
  readonly #preferred = new Map<PartitionId, SequencerId>();
  #ranked = '';
  #draining = false;
  #handingOver = 0;
  #maintaining = 0;
  #checkNodesets = false;
  #nodesetsCheckedAtMs = Number.NEGATIVE_INFINITY;
  /** Failed changes since the last report. */
  #failures = 0;
  #lastProblem = '';
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(ports: AssignmentPorts) {
    this.#ports = ports;
  }

  /** Looks at every partition and starts what is to be done. */
  review(): void {
    if (this.#draining) return;
    const { metadata, liveness, clock } = this.#ports;
    const candidates = this.#candidates();
    const now = clock.monotonicMs();
    const settled = now - liveness.changedAtMs >= SETTLED_AFTER_MS;
    this.#checkNodesets = now - this.#nodesetsCheckedAtMs >= NODESETS_CHECKED_EVERY_MS;
    if (this.#checkNodesets) this.#nodesetsCheckedAtMs = now;
    for (const [partitionId, { log }] of metadata.partitions()) {
      if (log.state === 'deleting') this.#abandon(partitionId);
      else this.#reviewPartition(partitionId, log, candidates, settled);
    }
    for (const partitionId of this.serving.keys()) {
      if (metadata.partition(partitionId) === undefined) this.#abandon(partitionId);
    }
    for (const [partitionId, until] of this.#notBefore) if (until <= now) this.#notBefore.delete(partitionId);
    this.#reportFailures(now);
  }

  /** At most one line a second, however many partitions are concerned. */
  #reportFailures(now: number): void {
    if (this.#failures === 0 || now - this.#reportedAtMs < FAILURES_REPORTED_EVERY_MS) return;
    this.#ports.logger.warn('partitions could not change hands; they are tried again', {
      attempts: this.#failures,
      lastProblem: this.#lastProblem,
    });
    this.#failures = 0;
    this.#reportedAtMs = now;
  }

  #candidates(): SequencerId[] {
    return this.#ports.liveness.servingSequencers().map(({ id }) => id);
  }

  #reviewPartition(
    partitionId: PartitionId,
    log: LogConfig,
    candidates: readonly SequencerId[],
    settled: boolean,
  ): void {
    const preferred = this.preferred(partitionId, candidates);
    const serving = this.#servingStill(partitionId);
    if (serving === undefined && this.#mayTake(partitionId, preferred)) {
      this.#start(partitionId, () => this.#take(partitionId, log));
    } else if (preferred === this.#ports.sequencerId) {
      if (serving?.state === 'serving') this.#maintain(serving);
    } else if (
      serving?.state === 'serving' &&
      preferred !== undefined &&
      this.#handingOver < HANDOVERS_IN_FLIGHT_MAX &&
      (settled || this.#pinned(partitionId) === preferred)
    ) {
      this.#start(partitionId, () => this.#handOver(serving, preferred));
    }
  }

  /** A process that hung may have been succeeded while it did, in partitions where nothing has told it since. */
  #servingStill(partitionId: PartitionId): ServingPartition | undefined {
    const serving = this.serving.get(partitionId);
    const lastEpoch = this.#ports.metadata.record(partitionId)?.lastEpoch;
    if (serving === undefined || lastEpoch === undefined || lastEpoch <= serving.epoch) return serving;
    this.fenced(serving, lastEpoch);
    return undefined;
  }

  async #handOver(partition: ServingPartition, successor: SequencerId): Promise<void> {
    this.#handingOver++;
    await this.#close(partition, successor).finally(() => {
      this.#handingOver--;
    });
  }

  #maintain(partition: ServingPartition): void {
    const { partitionId } = partition;
    if (this.#maintaining >= MAINTENANCE_IN_FLIGHT_MAX) return;
    if (this.#checkNodesets && nodesetIsOutdated(this.#ports, partition)) {
      this.#start(partitionId, () => this.#counted(this.#close(partition, this.#ports.sequencerId)));
    } else if (snapshotIsDue(partition, this.#ports.clock.monotonicMs())) {
      this.#start(partitionId, () => this.#counted(snapshotProducers(this.#ports, partition)));
    }
  }

  async #counted(work: Promise<void>): Promise<void> {
    this.#maintaining++;
    await work.finally(() => {
      this.#maintaining--;
    });
  }

  #pinned(partitionId: PartitionId): SequencerId | undefined {
    return this.#ports.metadata.record(partitionId)?.pinned;
  }

  /** The live sequencer to which the partition is pinned, or that rendezvous hashing ranks first for it. */
  preferred(partitionId: PartitionId, candidates: readonly SequencerId[]): SequencerId | undefined {
    const pinned = this.#pinned(partitionId);
    if (pinned !== undefined && candidates.includes(pinned)) return pinned;
    const ranked = candidates.join(' ');
    if (ranked !== this.#ranked) {
      this.#preferred.clear();
      this.#ranked = ranked;
    }
    let preferred = this.#preferred.get(partitionId);
    if (preferred === undefined) {
      preferred = rendezvousRank(hashWords(partitionId), candidates, (id) => murmur2(utf8(id)))[0];
      if (preferred !== undefined) this.#preferred.set(partitionId, preferred);
    }
    return preferred;
  }

  /**
   * Whether it is for this process to open the partition's next epoch: it is preferred, and nobody alive holds the last
   * one. An open epoch under its own id that it does not serve is its own to recover, preferred or not: it is of an
   * earlier process, or was fenced by one that gave up, and the others take it to be held by the living.
   */
  #mayTake(partitionId: PartitionId, preferred: SequencerId | undefined): boolean {
    const { metadata, liveness, sequencerId } = this.#ports;
    const record = metadata.record(partitionId);
    if (record?.halted !== undefined) return false;
    const owner = record === undefined ? undefined : openFragment(record)?.sequencerId;
    if (owner === sequencerId) return true;
    return preferred === sequencerId && (owner === undefined || !liveness.holdsPartitions(owner));
  }

  #start(partitionId: PartitionId, change: () => Promise<void>): void {
    const { clock, logger, onReviewNeeded } = this.#ports;
    if (this.#changing.has(partitionId) || this.#changing.size >= CHANGES_IN_FLIGHT_MAX) return;
    if ((this.#notBefore.get(partitionId) ?? 0) > clock.monotonicMs()) return;
    this.#changing.add(partitionId);
    change()
      .catch((error: unknown) => {
        if (!(error instanceof PyralogError)) throw error;
        this.#notBefore.set(partitionId, clock.monotonicMs() + RETRY_AFTER_MS);
        this.#failures++;
        this.#lastProblem = describeError(error);
        logger.debug('partition could not change hands', { partitionId, problem: this.#lastProblem });
      })
      .finally(() => {
        this.#changing.delete(partitionId);
        onReviewNeeded();
      });
  }

  async #take(partitionId: PartitionId, log: LogConfig): Promise<void> {
    let activation = await activate(this.#ports, log, partitionId);
    if (activation.kind === 'needs-recovery') activation = await this.#recover(partitionId, log, activation.stored);
    switch (activation.kind) {
      case 'opened':
        await this.#serve(partitionId, log, activation);
        return;
      case 'outbid':
        this.#seenEpochs.set(partitionId, activation.sealedEpoch);
        return;
      case 'lost':
      case 'needs-recovery':
      case 'halted':
        this.#notBefore.set(partitionId, this.#ports.clock.monotonicMs() + RETRY_AFTER_MS);
        return;
      default:
        unreachable(activation);
    }
  }

  async #recover(partitionId: PartitionId, log: LogConfig, stored: StoredRecord): Promise<Activation> {
    const status: RecoveryStatus = { phase: 'claim', blockedBy: [], sinceMs: this.#ports.clock.monotonicMs() };
    this.recovering.set(partitionId, status);
    try {
      return await recover({
        ports: this.#ports,
        log,
        partitionId,
        stored,
        seenEpoch: this.#seenEpochs.get(partitionId) ?? (0 as Epoch),
        status,
        wanted: () => !this.#draining && this.#mayTake(partitionId, this.preferred(partitionId, this.#candidates())),
      });
    } finally {
      this.recovering.delete(partitionId);
    }
  }

  async #serve(
    partitionId: PartitionId,
    log: LogConfig,
    opened: Extract<Activation, { kind: 'opened' }>,
  ): Promise<void> {
    const { fragment, record } = opened;
    const { sequencerId, logger, onTopologyChange } = this.#ports;
    const { namespace } = log;
    const partition = new ServingPartition({
      partitionId,
      namespace,
      fragment,
      sequencerId,
      record,
      ports: this.#ports,
    });
    this.#seenEpochs.delete(partitionId);
    this.serving.set(partitionId, partition);
    logger.debug('epoch opened', { partitionId, epoch: fragment.epoch, start: fragment.start });
    onTopologyChange(partitionId, fragment.epoch, sequencerId);
    if (this.#draining) await this.#close(partition, undefined);
  }

  async #close(partition: ServingPartition, successor: SequencerId | undefined): Promise<void> {
    const { partitionId, epoch } = partition;
    const { logger, onTopologyChange } = this.#ports;
    let closed = false;
    try {
      closed = await closePartition(this.#ports, partition, successor);
    } finally {
      const hasStopped = partition.state === 'stopped';
      if (hasStopped && this.serving.get(partitionId) === partition) this.serving.delete(partitionId);
      if (hasStopped && !closed) logger.warn('epoch could not be closed; it will be recovered', { partitionId, epoch });
    }
    // A successor will tell who is the owner then.
    if (closed && successor === undefined) onTopologyChange(partitionId, epoch, undefined);
  }

  /** A storage node refuses this epoch, or the metadata has a newer one: someone has taken over, or is about to. */
  fenced(partition: ServingPartition, sealedEpoch: Epoch): void {
    const { partitionId, epoch } = partition;
    if (partition.state === 'stopped') return;
    this.#ports.logger.warn('epoch is fenced: there is a newer one', { partitionId, epoch, sealedEpoch });
    this.#seenEpochs.set(partitionId, sealedEpoch);
    partition.stop();
    if (this.serving.get(partitionId) === partition) this.serving.delete(partitionId);
    this.#ports.onReviewNeeded();
  }

  /** The log is deleted: nothing is kept of its partitions. */
  #abandon(partitionId: PartitionId): void {
    this.#preferred.delete(partitionId);
    this.#seenEpochs.delete(partitionId);
    const partition = this.serving.get(partitionId);
    if (partition === undefined) return;
    partition.stop();
    this.serving.delete(partitionId);
  }

  /** Takes partitions again after `drain`. */
  resume(): void {
    this.#draining = false;
    this.#ports.onReviewNeeded();
  }

  /** Closes every epoch this process holds, naming who is to go on with each, and takes nothing any more. */
  async drain(): Promise<void> {
    this.#draining = true;
    const successors = this.#candidates().filter((id) => id !== this.#ports.sequencerId);
    // Again for those that were busy with a snapshot, or could not be closed the first time.
    for (let round = 0; round === 0 || (this.serving.size > 0 && round < DRAIN_ROUNDS_MAX); round++) {
      await this.#drainOnce(successors);
    }
  }

  async #drainOnce(successors: readonly SequencerId[]): Promise<void> {
    const waiting = [...this.serving.values()];
    const worker = async (): Promise<void> => {
      for (let partition = waiting.pop(); partition !== undefined; partition = waiting.pop()) {
        const { partitionId } = partition;
        if (this.#changing.has(partitionId)) continue;
        this.#changing.add(partitionId);
        await this.#close(partition, this.preferred(partitionId, successors))
          .catch((error: unknown) => {
            if (!(error instanceof PyralogError)) throw error;
            this.#ports.logger.error('epoch could not be closed', { partitionId, problem: describeError(error) });
          })
          .finally(() => this.#changing.delete(partitionId));
      }
    };
    await Promise.all(Array.from({ length: HANDOVERS_IN_FLIGHT_MAX }, worker));
    while (this.#changing.size > 0) {
      await new Promise<void>((resolve) => {
        this.#ports.clock.schedule(10, resolve);
      });
    }
  }
}
