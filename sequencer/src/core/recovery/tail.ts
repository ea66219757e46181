/**
 * What the sealed nodes say of an epoch's tail, and where the epoch ends. Pure.
 *
 * At each expected base offset o from the highest released offset that any node reported, with C the copyset of o: if any
 * sealed member has the batch it is *kept*, and must reach W members before the epoch is closed, since it may have been
 * acknowledged; if RF-W+1 sealed members whose data was never lost say they never had it, it cannot have W copies and
 * never can: the epoch *ends* there. Otherwise nothing can be decided, and the walk names the members it waits for. What
 * lies past the end was never acknowledged, because clients are acknowledged in offset order.
 *
 * What is before the released offset has W copies and needs no writing back. The walk still passes over it, from where
 * the producers' snapshot ends: the headers on the way are what the producers have appended since, and one that was
 * overlooked would let a repeated batch into the log twice.
 */
import {
  type Copyset,
  CopysetTable,
  type Crc32,
  checkFrameHeader,
  denialQuorum,
  endOffset,
  type Fragment,
  type FrameHeader,
  type Offset,
  type PartitionId,
  PyralogError,
  type StorageNodeId,
  unreachable,
} from '@pyralog/shared/core';
import type { NodeSealed } from './sealer.ts';

/** A batch of the tail that stays. */
export interface KeptBatch {
  readonly header: FrameHeader;
  readonly copyset: Copyset;
  /** Members of the copyset that have it: bit i is member i. */
  readonly holders: number;
}

export type Walk =
  | {
      readonly kind: 'ends';
      readonly end: Offset;
      /** At or past the released offset: these need W copies. */
      readonly kept: readonly KeptBatch[];
      /** Of every batch from where the walk began to the end. */
      readonly headers: readonly FrameHeader[];
    }
  | { readonly kind: 'undecided'; readonly at: Offset; readonly blockedBy: readonly StorageNodeId[] };

interface NodeTail {
  /** Sealed at our ballot, and everything it has was received. */
  complete: boolean;
  /** Its incarnation is the slot's and it has lost nothing: what it does not have, it never had. */
  authoritative: boolean;
  readonly headers: Map<number, FrameHeader>;
}

export class Tail {
  readonly table: CopysetTable;
  readonly #partitionId: PartitionId;
  readonly #fragment: Fragment;
  readonly #crc32: Crc32;
  readonly #nodes = new Map<number, NodeTail>();
  #released: Offset;

  constructor(partitionId: PartitionId, fragment: Fragment, crc32: Crc32) {
    this.table = new CopysetTable(fragment);
    this.#partitionId = partitionId;
    this.#fragment = fragment;
    this.#crc32 = crc32;
    this.#released = fragment.start;
  }

  /** Highest released offset reported; never below the fragment's start. */
  get releasedOffset(): Offset {
    return this.#released;
  }

  /**
   * Takes a node's answer about what it has from `from` on.
   * @returns where to ask the node on from, when it has more.
   */
  add(slot: number, from: Offset, { incarnation, answer }: NodeSealed): Offset | undefined {
    let node = this.#nodes.get(slot);
    const authoritative = this.#fragment.slots[slot]?.incarnation === incarnation && !answer.mayHaveLost;
    if (node === undefined) {
      node = { complete: false, authoritative, headers: new Map() };
      this.#nodes.set(slot, node);
    }
    // The disk may be another one since the node's last answer.
    node.authoritative &&= authoritative;
    this.#raiseReleased(answer.releasedOffset);
    let next = from;
    for (const bytes of answer.headers) {
      const header = checkFrameHeader(bytes, this.#crc32);
      if (!this.#belongs(header)) {
        throw new PyralogError({ code: 'corrupt', message: 'storage node answered with a batch of another reign' });
      }
      this.#raiseReleased(header.releasedOffset);
      node.headers.set(header.baseOffset, header);
      next = endOffset(header);
    }
    if (!answer.complete) return next;
    node.complete = true;
    return undefined;
  }

  #belongs({ partitionId, epoch, nonce, kind }: FrameHeader): boolean {
    const { epoch: expected, nonce: bound } = this.#fragment;
    return partitionId === this.#partitionId && epoch === expected && nonce === bound && kind === 'batch';
  }

  #raiseReleased(offset: Offset): void {
    if (offset > this.#released) this.#released = offset;
  }

  /** Walks from `from`, which is at or before the released offset and the end of a batch. */
  walk(from: Offset): Walk {
    const kept: KeptBatch[] = [];
    const headers: FrameHeader[] = [];
    let at = from;
    for (;;) {
      const copyset = this.table.copyset(this.#partitionId, at);
      const step = this.#decide(at, copyset);
      switch (step.kind) {
        case 'kept':
          headers.push(step.header);
          if (at >= this.#released) kept.push({ header: step.header, copyset, holders: step.holders });
          at = endOffset(step.header);
          break;
        case 'lost':
          at = step.next;
          break;
        case 'ends':
          return { kind: 'ends', end: at, kept, headers };
        case 'undecided':
          return { kind: 'undecided', at, blockedBy: step.blockedBy };
        default:
          unreachable(step);
      }
    }
  }

  #decide(at: Offset, copyset: Copyset): Step {
    let holders = 0;
    let header: FrameHeader | undefined;
    let denials = 0;
    const blockedBy: StorageNodeId[] = [];
    for (const [member, slot] of copyset.entries()) {
      const node = this.#nodes.get(slot);
      const found = node?.headers.get(at);
      if (found !== undefined) {
        header = found;
        holders |= 1 << member;
      } else if (node?.complete === true && node.authoritative) {
        denials++;
      } else {
        blockedBy.push(this.table.nodeId(slot));
      }
    }
    if (header !== undefined) return { kind: 'kept', header, holders };
    if (at < this.#released) {
      return blockedBy.length > 0 ? { kind: 'undecided', blockedBy } : { kind: 'lost', next: this.#nextKnown(at) };
    }
    return denials >= denialQuorum(this.#fragment) ? { kind: 'ends' } : { kind: 'undecided', blockedBy };
  }

  /** Where the next batch after `at` begins that any node has; the released offset when that comes first. */
  #nextKnown(at: Offset): Offset {
    let next = this.#released;
    for (const { headers } of this.#nodes.values()) {
      for (const header of headers.values()) {
        if (header.baseOffset > at && header.baseOffset < next) next = header.baseOffset;
      }
    }
    return next;
  }
}

type Step =
  | { readonly kind: 'kept'; readonly header: FrameHeader; readonly holders: number }
  /** Released once, and now on no member: its end is unknown, the walk goes on at the next batch. */
  | { readonly kind: 'lost'; readonly next: Offset }
  | { readonly kind: 'ends' }
  | { readonly kind: 'undecided'; readonly blockedBy: readonly StorageNodeId[] };
