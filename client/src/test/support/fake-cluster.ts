/** A cluster of one log on the in-process network, its metadata, and a client of it. */
import {
  checkFrame,
  crc32,
  decodeRecords,
  type Epoch,
  type Fragment,
  invalid,
  type LogConfig,
  type Nonce,
  type Offset,
  type PartitionId,
  type PartitionTopology,
  Subjects,
  silentLogger,
  text,
} from '@pyralog/shared/core';
import { PyralogClient } from '../../core/index.ts';
import { FakeSequencer, type Serving } from './fake-sequencer.ts';
import { FakeStorageNode } from './fake-storage-node.ts';
import { InProcessNetwork, type InProcessTransport } from './in-process-network.ts';
import { SeededRandom } from './seeded-random.ts';
import { VirtualClock } from './virtual-clock.ts';

export const LOG = 'test/log';

export interface FakeClusterOptions {
  readonly seed?: number;
  readonly partitions?: number;
  readonly storageNodes?: number;
  readonly sequencers?: number;
  readonly payloadBytesMax?: number;
  readonly replicationFactor?: number;
}

interface Partition {
  readonly partitionId: PartitionId;
  readonly partition: number;
  fragments: Fragment[];
  owner: FakeSequencer | undefined;
  lastEpoch: number;
  trimPoint: number;
  isAbandoned: boolean;
  /** What the last owner knew. */
  before: Serving | undefined;
}

export class FakeCluster {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly network: InProcessNetwork;
  readonly subjects = new Subjects('test');
  readonly log: LogConfig;
  readonly nodes: FakeStorageNode[];
  readonly sequencers: FakeSequencer[];
  readonly partitions: Partition[];
  topologyRequests = 0;
  #clients = 0;
  /** Everything that was ever stamped, apart from the nodes, which may lose it. */
  readonly #frames = new Map<string, Uint8Array>();

  constructor(options: FakeClusterOptions = {}) {
    const { seed = 1, partitions = 1, storageNodes = 4, sequencers = 2, replicationFactor = 3 } = options;
    this.random = new SeededRandom(seed);
    this.network = new InProcessNetwork(this.clock, options.payloadBytesMax);
    this.network.onSent = ({ subject, payload }) => {
      if (!subject.startsWith(`${this.subjects.prefix}store.`)) return;
      const { partitionId, epoch, baseOffset } = checkFrame(payload, crc32);
      this.#frames.set(frameKey(partitionId, epoch, baseOffset), payload.slice());
    };
    this.log = {
      namespace: 'test',
      name: 'log',
      firstPartitionId: 40 as PartitionId,
      partitionCount: partitions,
      replicationFactor,
      writeQuorum: Math.floor(replicationFactor / 2) + 1,
      strategy: 'per-record',
      seed: 7,
      scatterWidth: 8,
      durability: 'fsync',
      createdAtMs: 0,
      state: 'active',
    };
    this.nodes = Array.from(
      { length: storageNodes },
      (_, index) => new FakeStorageNode(this.network, this.subjects, `n-${index}`),
    );
    this.sequencers = Array.from({ length: sequencers }, (_, index) => {
      const sequencer = new FakeSequencer(this.network, this.subjects, { id: `s-${index}`, namespace: 'test' });
      sequencer.administer = (request) => this.#administer(request as { op: string; name?: string; from?: number });
      return sequencer;
    });
    this.partitions = Array.from({ length: partitions }, (_, partition) => ({
      partitionId: (this.log.firstPartitionId + partition) as PartitionId,
      partition,
      fragments: [],
      owner: undefined,
      lastEpoch: 0,
      trimPoint: 0,
      isAbandoned: false,
      before: undefined,
    }));
    for (const partition of this.partitions) this.open(partition.partition, partition.partition % sequencers);
  }

  client(transport = this.network.connect(`client-${this.#clients++}`)): {
    client: PyralogClient;
    transport: InProcessTransport;
  } {
    const { subjects, clock, random } = this;
    return {
      client: new PyralogClient({ transport, subjects, clock, random, crc32, logger: silentLogger }),
      transport,
    };
  }

  /** Opens the next epoch of a partition. */
  open(partition: number, sequencer: number): void {
    const owned = this.partition(partition);
    const owner = this.sequencers[sequencer];
    if (owner === undefined) throw new Error('no such sequencer');
    owned.lastEpoch++;
    const { replicationFactor, writeQuorum, strategy, seed, scatterWidth, durability } = this.log;
    const fragment: Fragment = {
      epoch: owned.lastEpoch as Epoch,
      nonce: BigInt(1_000 * (partition + 1) + owned.lastEpoch) as Nonce,
      sequencerId: owner.id,
      start: (owned.fragments.at(-1)?.end ?? 0) as Offset,
      slots: this.nodes.map(({ nodeId }) => ({
        nodeId,
        incarnation: '0123456789abcdef' as Fragment['slots'][0]['incarnation'],
      })),
      replicationFactor,
      writeQuorum,
      strategy,
      seed,
      scatterWidth,
      durability,
    };
    owned.fragments = [...owned.fragments, fragment];
    owned.owner = owner;
    owned.isAbandoned = false;
    owner.serve(owned.partitionId, fragment, owned.before);
    this.hint(partition);
  }

  /** Closes the open epoch at its released offset. @param answers whether the owner tells clients who wait. */
  closeEpoch(partition: number, answers = true): void {
    const owned = this.partition(partition);
    const last = owned.fragments.at(-1);
    if (last === undefined || owned.owner === undefined) return;
    owned.before = owned.owner.stop(owned.partitionId, answers);
    const end = (owned.before?.releasedOffset ?? last.start) as Offset;
    owned.fragments = [...owned.fragments.slice(0, -1), ...(end === last.start ? [] : [{ ...last, end }])];
    owned.owner = undefined;
    this.hint(partition);
  }

  /** The owner is gone and its epoch stays open. */
  abandon(partition: number): void {
    const owned = this.partition(partition);
    owned.before = owned.owner?.stop(owned.partitionId, false);
    owned.isAbandoned = true;
    this.hint(partition);
  }

  /** Closes the epoch of an owner that is gone, and opens the next one elsewhere. */
  recover(partition: number, sequencer: number): void {
    const owned = this.partition(partition);
    const last = owned.fragments.at(-1);
    if (last === undefined) return;
    const end = (owned.before?.releasedOffset ?? last.start) as Offset;
    owned.fragments = [...owned.fragments.slice(0, -1), ...(end === last.start ? [] : [{ ...last, end }])];
    this.open(partition, sequencer);
  }

  hint(partition: number): void {
    const payload = new TextEncoder().encode(JSON.stringify({ partition, epoch: this.partition(partition).lastEpoch }));
    this.sequencers[0]?.transport.publish(this.subjects.topology('test', 'log'), payload);
  }

  partition(partition: number): Partition {
    const found = this.partitions[partition];
    if (found === undefined) throw new Error('no such partition');
    return found;
  }

  describe(partition: number): PartitionTopology {
    const { partitionId, fragments, lastEpoch, trimPoint, isAbandoned } = this.partition(partition);
    const last = fragments.at(-1);
    const isOpen = last !== undefined && last.end === undefined;
    const state = !isOpen ? 'unowned' : isAbandoned ? 'recovery-needed' : 'serving';
    const described = {
      partitionId,
      partition,
      state,
      lastEpoch: lastEpoch as Epoch,
      trimPoint: trimPoint as Offset,
      fragments,
    } as const;
    return isOpen ? { ...described, sequencerId: last.sequencerId } : described;
  }

  /** Everything released of a partition, as any copy holds it: the truth that readers are held against. */
  contents(partition: number): { value: string; key: string | undefined; epoch: number }[] {
    const { partitionId, fragments, owner } = this.partition(partition);
    const records: { value: string; key: string | undefined; epoch: number }[] = [];
    for (const fragment of fragments) {
      const end = fragment.end ?? owner?.serving.get(partitionId)?.releasedOffset ?? fragment.start;
      for (let offset: number = fragment.start; offset < end; ) {
        const frame = this.#frames.get(frameKey(partitionId, fragment.epoch, offset));
        if (frame === undefined) throw new Error(`offset ${offset} was never stored`);
        const header = checkFrame(frame, crc32);
        for (const record of decodeRecords(frame, header)) {
          const key = record.key === undefined ? undefined : text(record.key);
          records.push({ value: record.value === undefined ? '' : text(record.value), key, epoch: header.epoch });
        }
        offset += header.recordCount;
      }
    }
    return records;
  }

  /** The frame that begins at an offset, as its owner stamped it. */
  frame(partition: number, epoch: number, baseOffset: number): Uint8Array | undefined {
    return this.#frames.get(frameKey(this.partition(partition).partitionId, epoch, baseOffset));
  }

  /** Base offsets of everything stamped in an epoch. */
  bases(partition: number, epoch: number): number[] {
    const { partitionId } = this.partition(partition);
    const headers = [...this.#frames.values()].map((frame) => checkFrame(frame, crc32));
    const own = headers.filter((header) => header.partitionId === partitionId && header.epoch === epoch);
    return own.map((header) => header.baseOffset).sort((a, b) => a - b);
  }

  #administer(request: { op: string; name?: string; from?: number }): unknown {
    if (request.op === 'list-logs') return { logs: [this.log] };
    if (request.op !== 'topology') throw invalid('op', 'not supported here');
    if (request.name !== 'log') throw invalid('log', 'there is no such log');
    this.topologyRequests++;
    const from = request.from ?? 0;
    const until = Math.min(this.partitions.length, from + 3);
    return {
      log: this.log,
      partitions: this.partitions.slice(from, until).map(({ partition }) => this.describe(partition)),
    };
  }
}

function frameKey(partitionId: number, epoch: number, baseOffset: number): string {
  return `${partitionId}/${epoch}/${baseOffset}`;
}
