/**
 * Takes a partition over from an owner that did not close its epoch: claim, seal, walk the tail, write it back, and one
 * compare-and-set that closes the old epoch at its end and opens the new one there. Nothing derived is used when that
 * write fails: someone else has recovered.
 *
 * An epoch that was closed is sealed too when nobody vouches for the metadata (no planned handover): nodes that hold
 * batches of a reign the metadata does not know prove that the metadata went back in time, and the partition halts.
 */
import {
  assert,
  type Clock,
  type Crc32,
  delay,
  describeError,
  type Epoch,
  type Fragment,
  type LogConfig,
  type Logger,
  type Offset,
  openFragment,
  type PartitionId,
  type PartitionRecord,
  PyralogError,
  type StorageNodeId,
} from '@pyralog/shared/core';
import { type Activation, type ActivationPorts, newFragment } from '../activation.ts';
import type { StoredRecord } from '../metadata-view.ts';
import { Producers } from '../producers.ts';
import { type ClaimedRecord, claim } from './claim.ts';
import type { Sealer } from './sealer.ts';
import { Tail, type Walk } from './tail.ts';
import { type WriteBackPorts, writeBackTail } from './write-back.ts';

export interface RecoveryPorts extends ActivationPorts, WriteBackPorts {
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly logger: Logger;
}

/** What a recovery is waiting for, for status, log and metrics. */
export interface RecoveryStatus {
  phase: 'claim' | 'seal' | 'write-back' | 'open';
  /** Nodes without which nothing can be decided. */
  blockedBy: readonly StorageNodeId[];
  readonly sinceMs: number;
}

const RETRY_AFTER_MS = 100;
/** A closed epoch's nodes that do not answer are waited for this long. */
const CLOSED_WAIT_MS = 1_500;

/** @throws PyralogError when the metadata or too many storage nodes cannot be reached now: try again. */
export async function recover(options: {
  ports: RecoveryPorts;
  log: LogConfig;
  partitionId: PartitionId;
  /** The record as it was read. */
  stored: StoredRecord;
  seenEpoch: Epoch;
  status: RecoveryStatus;
  /** Whether to go on: false once someone else is preferred, or the process stops. */
  wanted: () => boolean;
}): Promise<Activation> {
  const { ports, log, partitionId, stored, seenEpoch, status, wanted } = options;
  status.phase = 'claim';
  const claimed = await claim(ports, stored, seenEpoch);
  if (claimed === undefined) return { kind: 'lost' };
  status.phase = 'seal';
  const sealed = await sealTail(ports, partitionId, claimed, status, wanted);
  if (sealed.kind !== 'sealed') return sealed.kind === 'foreign' ? halt(ports, claimed, sealed.by) : sealed;
  const { tail, walk } = sealed;
  const open = openFragment(claimed.record);
  if (open !== undefined) {
    status.phase = 'write-back';
    await writeBackTail({ ports, fragment: open, ballot: claimed.claim.epoch, tail, kept: walk.kept });
  }
  status.phase = 'open';
  status.blockedBy = [];
  return openAfter(ports, log, claimed, walk);
}

type Ended = Extract<Walk, { kind: 'ends' }>;

type Sealing =
  | { readonly kind: 'sealed'; readonly tail: Tail; readonly walk: Ended }
  | { readonly kind: 'foreign'; readonly by: StorageNodeId }
  | { readonly kind: 'outbid'; readonly sealedEpoch: Epoch }
  | { readonly kind: 'lost' };

/** Seals the nodeset of the last fragment and waits until its end is decided. */
async function sealTail(
  ports: RecoveryPorts,
  partitionId: PartitionId,
  { record, claim: { epoch: ballot } }: ClaimedRecord,
  status: RecoveryStatus,
  wanted: () => boolean,
): Promise<Sealing> {
  const fragment = record.fragments.at(-1);
  assert(fragment !== undefined, 'a claim is made on a partition that has a fragment');
  const tail = new Tail(partitionId, fragment, ports.crc32);
  const from = Math.max(record.producersAt, fragment.start) as Offset;
  const waiting = new Map<number, Offset>(fragment.slots.map((_, slot) => [slot, from]));
  const startedAtMs = ports.clock.monotonicMs();
  while (wanted()) {
    const verdict = await sealRound({ ports, record, fragment, ballot, tail, from, waiting });
    if (verdict !== undefined) return verdict;
    const walk = decide(record, fragment, tail, from, waiting.size === 0 || elapsed(ports, startedAtMs));
    if (walk.kind === 'ends') return { kind: 'sealed', tail, walk };
    status.blockedBy = walk.blockedBy;
    if (waiting.size === fragment.slots.length || elapsed(ports, startedAtMs)) {
      ports.logger.warn('recovery waits for storage nodes', { partitionId, at: walk.at, blockedBy: walk.blockedBy });
    }
    await delay(ports.clock, RETRY_AFTER_MS);
  }
  return { kind: 'lost' };
}

function elapsed({ clock }: RecoveryPorts, sinceMs: number): boolean {
  return clock.monotonicMs() - sinceMs >= CLOSED_WAIT_MS;
}

/** An open epoch ends where its nodes prove it; a closed one where the metadata says, once its nodes were heard. */
function decide(record: PartitionRecord, fragment: Fragment, tail: Tail, from: Offset, heard: boolean): Walk {
  if (fragment.end === undefined) return tail.walk(from);
  if (!heard) return { kind: 'undecided', at: fragment.end, blockedBy: [] };
  assert(record.producersAt === fragment.end, 'a closed fragment has its producers in the record');
  return { kind: 'ends', end: fragment.end, kept: [], headers: [] };
}

/** Asks every node that has not told everything yet, once; resolves when all have answered, or the end is decided. */
async function sealRound(options: {
  ports: RecoveryPorts;
  record: PartitionRecord;
  fragment: Fragment;
  ballot: Epoch;
  tail: Tail;
  from: Offset;
  waiting: Map<number, Offset>;
}): Promise<Exclude<Sealing, { kind: 'sealed' }> | undefined> {
  const { ports, record, fragment, ballot, tail, waiting } = options;
  const { partitionId, lastEpoch: knownEpoch } = record;
  let verdict: Exclude<Sealing, { kind: 'sealed' }> | undefined;
  const ask = async (slot: number, start: Offset): Promise<void> => {
    const nodeId = tail.table.nodeId(slot);
    for (let from: Offset | undefined = start; from !== undefined; ) {
      const { epoch, nonce } = fragment;
      const sealed = await ports.sealer.seal(nodeId, { partitionId, ballot, epoch, nonce, from, knownEpoch });
      const { answer } = sealed;
      if (answer.foreign) verdict = { kind: 'foreign', by: nodeId };
      else if (!answer.sealed) verdict = { kind: 'outbid', sealedEpoch: answer.sealedEpoch };
      if (verdict !== undefined) return;
      from = tail.add(slot, from, sealed);
      if (from !== undefined) waiting.set(slot, from);
    }
    waiting.delete(slot);
  };
  const asked = [...waiting].map(([slot, from]) =>
    ask(slot, from).catch((error: unknown) => {
      if (!(error instanceof PyralogError)) throw error;
      ports.logger.debug('storage node did not answer a seal', { partitionId, problem: describeError(error) });
    }),
  );
  await enough(
    asked,
    () => verdict !== undefined || (fragment.end === undefined && tail.walk(options.from).kind === 'ends'),
  );
  return verdict;
}

/** Resolves when all of `tasks` have, or after one of them `done` holds. */
function enough(tasks: readonly Promise<void>[], done: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = tasks.length;
    for (const task of tasks) {
      task.then(() => {
        left--;
        if (left === 0 || done()) resolve();
      }, reject);
    }
    if (left === 0) resolve();
  });
}

/** One compare-and-set: the old epoch closed at its end, the new one open there. */
async function openAfter(
  ports: RecoveryPorts,
  log: LogConfig,
  claimed: ClaimedRecord,
  walk: Ended,
): Promise<Activation> {
  const { record, revision, claim: made } = claimed;
  const producers = new Producers();
  producers.restore(record.producers, walk.headers);
  const open = openFragment(record);
  const before = open === undefined ? record.fragments : record.fragments.slice(0, -1);
  const closed = open === undefined || walk.end === open.start ? [] : [{ ...open, end: walk.end }];
  const lastAppendTimeMs = walk.headers.reduce(
    (latest, { appendTimeMs }) => Math.max(latest, appendTimeMs),
    record.lastAppendTimeMs,
  );
  const fragment = newFragment(ports, log, record, { epoch: made.epoch, nonce: made.nonce, start: walk.end });
  const { claim: _, successor: __, ...rest } = record;
  const opened: PartitionRecord = {
    ...rest,
    lastEpoch: fragment.epoch,
    fragments: [...before, ...closed, fragment],
    lastAppendTimeMs,
    producersAt: walk.end,
    producers: producers.snapshot(),
  };
  const written = await ports.metadata.writeRecord({
    record: opened,
    revision,
    isWritten: (stored) =>
      stored.fragments.some(({ epoch, nonce }) => epoch === fragment.epoch && nonce === fragment.nonce),
  });
  return written === undefined ? { kind: 'lost' } : { kind: 'opened', fragment, record: opened };
}

/** Says in the metadata, for everyone, that the partition must not go on. */
async function halt(ports: RecoveryPorts, { record, revision }: ClaimedRecord, by: StorageNodeId): Promise<Activation> {
  const halted = `storage node ${by} holds batches of an epoch that the metadata does not know`;
  ports.logger.error('partition is halted: its metadata went back in time', {
    partitionId: record.partitionId,
    nodeId: by,
  });
  await ports.metadata.writeRecord({
    record: { ...record, halted },
    revision,
    isWritten: (stored) => stored.halted === halted,
  });
  return { kind: 'halted' };
}
