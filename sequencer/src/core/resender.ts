/**
 * Sends batches again to the nodes that lack them: lost messages, nodes that were away, nodes that had no room.
 *
 * A node that has been silent for `giveUpAfterMs` is given up on for batches that are released already; unreleased ones
 * wait for it, however long. What one tick sends is bounded, so that a returning node is not buried.
 */
import { type Clock, DEFAULTS, type StorageNodeId, type Subjects, type Transport } from '@pyralog/shared/core';
import type { Liveness } from './liveness.ts';
import type { PendingBatch } from './pending-batch.ts';
import type { ServingPartition } from './serving-partition.ts';

const RESEND_BYTES_PER_TICK_MAX = 8 * 1024 * 1024;
const GIVE_UP_AFTER_MS = 10_000;

export interface ResenderPorts {
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly liveness: Liveness;
}

export class Resender {
  readonly #ports: ResenderPorts;
  #budget = 0;
  resentBatches = 0;

  constructor(ports: ResenderPorts) {
    this.#ports = ports;
  }

  /** Looks over what is outstanding; to be called every 50 ms or so. */
  tick(partitions: Iterable<ServingPartition>): void {
    this.#budget = RESEND_BYTES_PER_TICK_MAX;
    const now = this.#ports.clock.monotonicMs();
    for (const partition of partitions) {
      if (this.#budget <= 0) return;
      this.#tickPartition(partition, now);
    }
  }

  #tickPartition(partition: ServingPartition, now: number): void {
    for (const batch of partition.outstanding()) {
      // Batches are in the order of their first sending: nothing after this one is older.
      if (now - batch.sentAtMs < DEFAULTS.resendAfterMs && batch.resendAfterMs === DEFAULTS.resendAfterMs) return;
      if (now - batch.sentAtMs < batch.resendAfterMs) continue;
      this.#resend(partition, batch, now);
      if (this.#budget <= 0) return;
    }
  }

  #resend(partition: ServingPartition, batch: PendingBatch, now: number): void {
    const { liveness, transport, subjects } = this.#ports;
    const members = partition.memberIds(batch);
    let hopeless = true;
    let sent = false;
    for (const [member, nodeId] of members.entries()) {
      if (batch.has(member)) continue;
      if (liveness.storageNodeSilentMs(nodeId) < GIVE_UP_AFTER_MS) hopeless = false;
      if (!liveness.isStorageNodeLive(nodeId)) continue;
      transport.publish(subjects.resend(nodeId as StorageNodeId), batch.frame, subjects.acks(partition.sequencerId));
      this.#budget -= batch.frame.byteLength;
      this.resentBatches++;
      sent = true;
    }
    if (hopeless && batch.released) {
      partition.giveUp(batch);
      return;
    }
    // A node that comes back gets what it lacks at once: waiting for the absent does not lengthen the wait.
    if (!sent) return;
    batch.sentAtMs = now;
    batch.resendAfterMs = Math.min(batch.resendAfterMs * 2, DEFAULTS.resendAfterMsMax);
  }
}
