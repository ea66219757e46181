/**
 * Reads `[from, until)` of one fragment from its storage nodes, all at once, and merges by offset.
 *
 * Placement says which node is the designated reader of the next batch, so the merge knows whose head it must be. When that
 * node has got past the offset without it, or its copy is damaged, the other members of the copyset are asked, and the merge
 * goes on. A node that does not answer is excluded: then the next member of each copyset is the designated reader, and the
 * streams start again from the offset reached. Nothing is ever skipped.
 */
import type { Offset, StorageNodeId } from '@pyralog/shared/core';
import type { Closing } from '../closing.ts';
import { SETTINGS } from '../settings.ts';
import { Wake } from '../wake.ts';
import { fetchCopy } from './fetch-copy.ts';
import type { FragmentReader } from './fragment-reader.ts';
import { NodeStream } from './node-stream.ts';
import type { StoredBatch } from './stored-batch.ts';

/** Where batches go. */
export interface BatchSink {
  /** Whether another batch may be delivered. When not, `onRoom` tells when. */
  hasRoom(): boolean;
  deliver(batch: StoredBatch): void;
  /** Calls `listener` whenever there is room again. */
  onRoom(listener: () => void): { cancel(): void };
}

export interface CatchUpOptions {
  readonly reader: FragmentReader;
  readonly from: Offset;
  readonly until: Offset;
  /** Whether a batch begins at `from`. */
  readonly isBase: boolean;
  readonly sink: BatchSink;
  readonly closing: Closing;
  /** Called while a batch cannot be found. May throw to end the search. */
  readonly whileMissing: () => void;
}

/** Resolves with the offset reached: at least `until`, unless the reader was closed. */
export async function catchUp(options: CatchUpOptions): Promise<Offset> {
  const merge = new Merge(options);
  try {
    return await merge.run();
  } finally {
    merge.close();
  }
}

class Merge {
  readonly #options: CatchUpOptions;
  readonly #wake = new Wake();
  readonly #registrations: { cancel(): void }[];
  #streams = new Map<StorageNodeId, NodeStream>();
  #healthVersion = -1;
  #position: Offset;
  #isBase: boolean;
  /** Batches in a row that a node lacked. */
  readonly #misses = new Map<StorageNodeId, number>();
  /** Nodes done without until an offset, because everything of theirs before it is missing. */
  readonly #holes = new Map<StorageNodeId, Offset>();

  constructor(options: CatchUpOptions) {
    this.#options = options;
    this.#position = options.from;
    this.#isBase = options.isBase;
    const wake = (): void => this.#wake.wake();
    this.#registrations = [
      options.reader.context.health.onChange(wake),
      options.sink.onRoom(wake),
      options.closing.onClose(wake),
    ];
  }

  async run(): Promise<Offset> {
    const { until, sink, closing, reader } = this.#options;
    const { health } = reader.context;
    while (this.#position < until && !closing.isClosed) {
      if (!sink.hasRoom()) {
        await this.#wake.wait();
        continue;
      }
      if (this.#healthVersion !== health.version || this.#leftHole()) this.#restart();
      const next = this.#isBase ? this.#designated() : this.#overlapping();
      if (next === 'wait') await this.#wake.wait();
      else if (next instanceof NodeStream) this.#take(next);
      else await this.#recover(next.missing);
    }
    return this.#position;
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.cancel();
    for (const registration of this.#registrations) registration.cancel();
  }

  /** Streams from here on, from every node that is not excluded. */
  #restart(): void {
    const { reader, until } = this.#options;
    const { health, partitionBytes } = reader.context;
    this.#healthVersion = health.version;
    for (const stream of this.#streams.values()) stream.cancel();
    const isExcluded = (nodeId: StorageNodeId): boolean => health.isExcluded(nodeId) || this.#holes.has(nodeId);
    const exclude = reader.nodeIds.filter(isExcluded);
    const asked = reader.nodeIds.filter((nodeId) => !isExcluded(nodeId));
    // Two chunks from each node are half of what the partition may hold; delivered batches are the other half.
    const credit = partitionBytes / (4 * Math.max(1, asked.length));
    const onProgress = (): void => this.#wake.wake();
    const from = this.#position;
    this.#streams = new Map(
      asked.map((nodeId) => [nodeId, new NodeStream({ nodeId, reader, from, until, exclude, credit, onProgress })]),
    );
    for (const stream of this.#streams.values()) stream.start();
  }

  /** The stream whose head is the batch at `#position`, if its designated reader has sent it. */
  #designated(): NodeStream | 'wait' | { missing: StorageNodeId | undefined } {
    const { table, partitionId } = this.#options.reader;
    const position = this.#position;
    let stream: NodeStream | undefined;
    for (const slot of table.copyset(partitionId, position)) {
      stream = this.#streams.get(table.nodeId(slot));
      if (stream !== undefined) break;
    }
    if (stream === undefined) return { missing: undefined };
    for (let head = stream.head; head !== undefined; head = stream.head) {
      if (head.header.baseOffset === position) return stream;
      if (head.end > position) return { missing: stream.nodeId };
      stream.shift();
    }
    if (stream.frontier > position || stream.state === 'corrupt') return { missing: stream.nodeId };
    return 'wait';
  }

  /** As `#designated`, while it is not known where the batch that holds `#position` begins: any node may have it. */
  #overlapping(): NodeStream | 'wait' | { missing: StorageNodeId | undefined } {
    let waits = false;
    for (const stream of this.#streams.values()) {
      const { head } = stream;
      if (head === undefined) waits ||= stream.frontier <= this.#position && stream.state !== 'corrupt';
      else if (head.header.baseOffset <= this.#position && this.#position < head.end) return stream;
    }
    return waits ? 'wait' : { missing: undefined };
  }

  #take(stream: NodeStream): void {
    const { head } = stream;
    if (head === undefined) return;
    this.#misses.delete(stream.nodeId);
    this.#deliver(head);
    stream.shift();
  }

  #deliver(batch: StoredBatch): void {
    this.#position = batch.end;
    this.#isBase = true;
    this.#options.sink.deliver(batch);
  }

  /** Reads the batch at `#position` from someone else. */
  async #recover(without: StorageNodeId | undefined): Promise<void> {
    const { reader, closing, whileMissing } = this.#options;
    const offset = this.#position;
    const isBase = this.#isBase;
    const stream = without === undefined ? undefined : this.#streams.get(without);
    const isCorrupt = stream?.state === 'corrupt' && stream.head === undefined;
    const batch = await fetchCopy({ reader, offset, isBase, without, closing, betweenRounds: whileMissing });
    if (batch === undefined) return;
    this.#deliver(batch);
    if (without === undefined || stream === undefined) {
      for (const other of this.#streams.values()) other.skipTo(batch.end);
      return;
    }
    const { ports, notice } = reader.context;
    const { partition } = reader;
    if (isCorrupt) notice({ kind: 'copy-corrupt', partition, offset, nodeId: without });
    else if (ports.clock.wallMs() - batch.header.appendTimeMs > SETTINGS.copyGraceMs) {
      notice({ kind: 'copy-missing', partition, offset, nodeId: without });
    }
    if (this.#streams.get(without) !== stream) return;
    this.#missed(stream);
    if (isCorrupt) stream.skipTo(batch.end);
  }

  /** A node that lacks several batches in a row lacks all up to what it sent next: the others are asked for that. */
  #missed(stream: NodeStream): void {
    const { nodeId } = stream;
    const misses = (this.#misses.get(nodeId) ?? 0) + 1;
    this.#misses.set(nodeId, misses);
    if (misses < SETTINGS.missesInRowMax) return;
    const end = stream.head?.header.baseOffset ?? stream.frontier;
    this.#misses.delete(nodeId);
    if (end <= this.#position) return;
    this.#holes.set(nodeId, end);
    this.#healthVersion = -1;
  }

  /** Whether a node that was done without is wanted again. */
  #leftHole(): boolean {
    let left = false;
    for (const [nodeId, end] of this.#holes) {
      if (this.#position < end) continue;
      this.#holes.delete(nodeId);
      left = true;
    }
    return left;
  }
}
