/**
 * Sends the batches of one partition, in order, exactly once.
 *
 * Normally up to `inFlightBatchesMax` batches are under way at once. The first failure ends that: nothing more is sent,
 * what is under way is waited for, then everything unacknowledged is sent again in order, the first batch alone until it
 * succeeds (go-back-N). The owner recognizes a repeat by its sequence and refuses a batch whose predecessor it lacks, so
 * neither a lost reply nor a lost request can double, drop or reorder records.
 *
 * Also the very first batch of a numbering goes alone: an owner that does not know a producer takes any sequence as its
 * first, so a second batch must not overtake a first one that was lost.
 *
 * Messages of one sender to one subject arrive in order, and the owner answers in order. So an answer also tells which
 * earlier requests or answers were lost, long before their timeout. Where that were wrong, a repeat would be harmless.
 *
 * A batch that is given up on leaves a gap in the sequences. Once it is certain that nothing after the gap was applied, the
 * rest gets a new numbering (the next producer epoch, sequences from 0), under which the owner refuses late attempts of the
 * old one. While some later batch may have been applied it is first repeated under its old number.
 */
import { assert, type PartitionTopology, PyralogError, type Timer } from '@pyralog/shared/core';
import { Backoff } from '../backoff.ts';
import type { ClientPorts } from '../ports.ts';
import { SETTINGS } from '../settings.ts';
import type { CachedTopology, LogView } from '../topology.ts';
import { asPyralogError, expectedSequenceOf, hasNoOwner, readAppendReply, withOutcome } from './append-failure.ts';
import type { Batch } from './batch.ts';
import { Sequences, sequencesBehind } from './numbering.ts';
import type { BatchAck, ProducerSettings } from './options.ts';

/**
 * `probing`: one batch at a time. `pipelining`: several. `settling`: a batch failed, those under way are waited for.
 * `pausing`: until the next attempt.
 */
type Mode = 'probing' | 'pipelining' | 'settling' | 'pausing';

export interface SenderHandlers {
  /** A batch ended. The sender's own state is consistent: more batches may be given to it. */
  onSettled(batch: Batch, result: BatchAck | PyralogError): void;
  /** There may be room for another batch. */
  onRoom(): void;
}

export interface SenderOptions {
  readonly ports: ClientPorts;
  readonly topology: CachedTopology;
  readonly partition: number;
  readonly producerId: bigint;
  readonly settings: ProducerSettings;
  readonly handlers: SenderHandlers;
}

export class PartitionSender {
  readonly #options: SenderOptions;
  readonly #backoff: Backoff;
  readonly #sequences: Sequences;
  /** Unsettled batches in order. Those in flight come first, but for one that waits to be sent again. */
  readonly #batches: Batch[] = [];
  #enqueued = 0;
  #mode: Mode = 'probing';
  #inFlight = 0;
  #needsRefresh = false;
  /** Names the last refresh; one that another has followed, or that is waited for no more, changes nothing. */
  #refreshes = 0;
  #pause: Timer | undefined;
  #deadline: Timer | undefined;
  /** What the last attempt relied on. */
  #usedView: LogView | undefined;
  #isClosed = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#sequences = new Sequences(options.ports.random, options.producerId);
    const { sendDelayMsMin: delayMsMin, sendDelayMsMax: delayMsMax } = SETTINGS;
    this.#backoff = new Backoff(options.ports.random, { delayMsMin, delayMsMax });
  }

  /** Whether a batch that is due should be closed, rather than take more records while it could not be sent anyway. */
  get hasRoom(): boolean {
    return this.#batches.length < this.#options.settings.inFlightBatchesMax;
  }

  /** Whether the last attempt failed. */
  get isFailing(): boolean {
    return this.#backoff.attempts > 0;
  }

  enqueue(batch: Batch): void {
    assert(!this.#isClosed, 'batch for a sender that is closed');
    batch.ordinal = this.#enqueued++;
    this.#batches.push(batch);
    if (this.#batches.length === 1) this.#watchDeadline();
    this.#pump();
  }

  /**
   * The topology changed. What is under way to an owner that is one no more may never be answered: it is sent to the next
   * one, who knows what the last one released. An attempt that waits for a change need not wait longer.
   */
  topologyChanged(): void {
    const view = this.#options.topology.view;
    const partition = view?.partitions[this.#options.partition];
    if (view === this.#usedView || partition === undefined) return;
    if (this.#inFlight > 0) {
      if (partition.lastEpoch === this.#usedPartition?.lastEpoch && partition.sequencerId !== undefined) return;
      for (const batch of this.#batches) {
        if (!batch.inFlight) continue;
        batch.uncertain = true;
        this.#land(batch);
      }
      this.#mode = 'settling';
      this.#proceed();
    } else if (this.#mode === 'pausing' && (this.#needsRefresh || this.#pause === undefined)) {
      if (!this.#isSucceeded()) return;
      this.#pause?.cancel();
      this.#pause = undefined;
      this.#needsRefresh = false;
      this.#refreshes++;
      this.#probe();
    }
  }

  get #usedPartition(): PartitionTopology | undefined {
    return this.#usedView?.partitions[this.#options.partition];
  }

  /** Whether the partition has an owner that the last attempt did not know of. */
  #isSucceeded(): boolean {
    const now = this.#options.topology.view?.partitions[this.#options.partition];
    const used = this.#usedPartition;
    return now?.state === 'serving' && (now.lastEpoch !== used?.lastEpoch || used.state !== 'serving');
  }

  /** Gives up on everything. */
  close(error: PyralogError): void {
    this.#isClosed = true;
    this.#pause?.cancel();
    this.#deadline?.cancel();
    for (const batch of [...this.#batches]) this.#giveUp(batch, error);
  }

  #pump(): void {
    if (this.#mode === 'settling' || this.#mode === 'pausing') return;
    const { inFlightBatchesMax } = this.#options.settings;
    // Indexed, and everything read again: a send may fail at once, and so change all of it.
    for (let index = 0; index < this.#batches.length; index++) {
      const batch = this.#batches[index];
      const first = this.#batches[0];
      if (batch === undefined || first === undefined) return;
      const limit = this.#mode === 'pipelining' ? inFlightBatchesMax : this.#mode === 'probing' ? 1 : 0;
      // Counted from the first that is not settled: the owner remembers no more batches for the sake of repeats.
      if (batch.ordinal - first.ordinal >= limit) return;
      if (!batch.inFlight) this.#send(batch);
    }
  }

  #send(batch: Batch): void {
    const { ports, topology, partition, settings } = this.#options;
    const view = topology.view;
    const owned = view?.partitions[partition];
    this.#usedView = view;
    if (owned?.sequencerId === undefined) {
      this.#attemptFailed(batch, hasNoOwner(partition, owned?.state));
      return;
    }
    if (this.#sequences.hasGap && this.#inFlight === 0 && !this.#batches.some((one) => one.uncertain)) {
      this.#sequences.restart();
      if (this.#mode === 'pipelining') this.#mode = 'probing';
    }
    this.#sequences.number(batch);
    const payload = batch.nextPayload(ports.crc32);
    batch.inFlight = true;
    this.#inFlight++;
    const attempt = batch.attempt;
    const subject = ports.subjects.append(topology.log.namespace, owned.sequencerId, owned.partitionId);
    ports.transport.request(subject, payload, { timeoutMs: settings.requestTimeoutMs }).then(
      (reply) => {
        const result = readAppendReply(reply.payload);
        if (result instanceof PyralogError) this.#answered(batch, attempt, result);
        else {
          const { baseOffset: offset, epoch, appendTimeMs: timestamp } = result;
          this.#answered(batch, attempt, { partition, offset, count: batch.recordCount, epoch, timestamp });
        }
      },
      (reason: unknown) => {
        const error = asPyralogError(reason);
        const isGone = error.fields.reason === 'no-responders' && owned.state !== 'serving';
        this.#answered(batch, attempt, isGone ? hasNoOwner(partition, owned.state, error) : error);
      },
    );
  }

  #answered(batch: Batch, attempt: number, result: BatchAck | PyralogError): void {
    if (batch.settled) return;
    if (result instanceof PyralogError) {
      // An attempt that was already taken for lost says nothing new.
      if (attempt !== batch.attempt || !batch.inFlight) return;
      this.#land(batch);
      this.#attemptFailed(batch, result);
      return;
    }
    this.#land(batch);
    this.#backoff.reset();
    if (this.#mode === 'probing') this.#mode = 'pipelining';
    this.#answersLost(batch);
    this.#remove(batch);
    this.#options.handlers.onSettled(batch, result);
    this.#proceed();
  }

  /** The owner answers in order: what was sent before and has no answer yet will get none. */
  #answersLost(answered: Batch): void {
    for (const batch of this.#batches) {
      if (batch === answered) return;
      if (!batch.inFlight) continue;
      batch.uncertain = true;
      this.#land(batch);
      this.#mode = 'settling';
    }
  }

  #land(batch: Batch): void {
    if (!batch.inFlight) return;
    batch.inFlight = false;
    this.#inFlight--;
  }

  #attemptFailed(batch: Batch, error: PyralogError): void {
    batch.lastError = error;
    if (this.#mode !== 'pausing') this.#mode = 'settling';
    const expected = expectedSequenceOf(error);
    if (error.retry === 'never') {
      this.#giveUp(batch, error);
    } else {
      if (error.outcome === 'unknown') batch.uncertain = true;
      if (error.retry === 'refresh') this.#needsRefresh = true;
      if (expected !== undefined) this.#sequenceRefused(batch, expected);
    }
    this.#proceed();
  }

  /** The owner has nothing from sequence `expected` on. */
  #sequenceRefused(refused: Batch, expected: number): void {
    for (const batch of this.#batches) {
      if (!this.#sequences.isCurrent(batch)) break;
      // What was sent before and is still missing is lost.
      if (batch !== refused && batch.inFlight && sequencesBehind(batch.baseSequence, refused.baseSequence) > 0) {
        if (sequencesBehind(expected, batch.baseSequence) >= 0) {
          batch.uncertain = true;
          this.#land(batch);
        }
      }
    }
    if (refused === this.#batches[0] && sequencesBehind(expected, refused.baseSequence) > 0) {
      // The gap is before everything that is left, so nothing of that was applied.
      this.#sequences.leaveGap();
      for (const batch of this.#batches) batch.uncertain = batch.inFlight;
    }
  }

  /** Goes on when nothing is under way any more after a failure, or sends what may be sent. */
  #proceed(): void {
    if (this.#isClosed) return;
    if (this.#mode !== 'settling') this.#pump();
    else if (this.#inFlight === 0) this.#settled();
    if (this.hasRoom) this.#options.handlers.onRoom();
  }

  #settled(): void {
    const first = this.#batches[0];
    if (first === undefined || (first.lastError === undefined && !this.#needsRefresh)) {
      this.#needsRefresh = false;
      this.#probe();
      return;
    }
    this.#mode = 'pausing';
    if (this.#needsRefresh && this.#isSucceeded()) {
      this.#needsRefresh = false;
      this.#probe();
      return;
    }
    const pauseMs = Math.max(this.#backoff.next(), this.#needsRefresh ? SETTINGS.refreshDelayMsMin : 0);
    this.#pause = this.#options.ports.clock.schedule(pauseMs, () => {
      this.#pause = undefined;
      if (this.#needsRefresh) this.#refresh();
      else this.#probe();
    });
  }

  #refresh(): void {
    this.#needsRefresh = false;
    const refresh = ++this.#refreshes;
    this.#options.topology.refresh(this.#usedView).then(
      () => {
        if (refresh === this.#refreshes) this.#probe();
      },
      (reason: unknown) => {
        if (refresh !== this.#refreshes) return;
        const error = asPyralogError(reason);
        // The log is gone, or not ours to see.
        if (error.retry === 'never') for (const batch of [...this.#batches]) this.#giveUp(batch, error);
        else this.#needsRefresh = true;
        this.#probe();
      },
    );
  }

  #probe(): void {
    if (this.#isClosed) return;
    this.#mode = 'probing';
    this.#proceed();
  }

  #remove(batch: Batch): void {
    const index = this.#batches.indexOf(batch);
    assert(index >= 0, 'batch is not with its sender');
    this.#batches.splice(index, 1);
    if (index === 0) this.#watchDeadline();
  }

  /** Ends a batch without success. Its sequences stay a gap. */
  #giveUp(batch: Batch, error: PyralogError): void {
    const mayBeApplied = batch.uncertain || batch.inFlight || error.outcome === 'unknown';
    this.#land(batch);
    this.#remove(batch);
    if (this.#sequences.isCurrent(batch)) this.#sequences.leaveGap();
    this.#options.handlers.onSettled(batch, mayBeApplied ? withOutcome(error, 'unknown') : error);
  }

  #watchDeadline(): void {
    this.#deadline?.cancel();
    this.#deadline = undefined;
    const first = this.#batches[0];
    if (first === undefined || this.#isClosed) return;
    const { clock } = this.#options.ports;
    const remainingMs = first.openedAtMs + this.#options.settings.deliveryTimeoutMs - clock.monotonicMs();
    this.#deadline = clock.schedule(Math.max(0, remainingMs), () => this.#expire());
  }

  #expire(): void {
    const { ports, settings, partition } = this.#options;
    const expiredBeforeMs = ports.clock.monotonicMs() - settings.deliveryTimeoutMs;
    const expired = this.#batches.filter((batch) => batch.openedAtMs <= expiredBeforeMs);
    for (const batch of expired) {
      if (batch.settled) continue;
      const mayBeApplied = batch.uncertain || batch.inFlight;
      const { lastError } = batch;
      const error =
        lastError !== undefined && !mayBeApplied
          ? lastError
          : new PyralogError({
              code: 'timeout',
              message: 'batch was not acknowledged within the delivery timeout',
              outcome: mayBeApplied ? 'unknown' : 'not-applied',
              fields: { partition, timeoutMs: settings.deliveryTimeoutMs },
              cause: lastError,
            });
      if (this.#mode !== 'pausing') this.#mode = 'settling';
      this.#giveUp(batch, error);
    }
    if (expired.length === 0) this.#watchDeadline();
    else this.#proceed();
  }
}
