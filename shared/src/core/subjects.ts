/**
 * The NATS subjects, all of them. `pyra.<cluster>.` comes before each; those that a client may use carry its namespace.
 * docs/ARCHITECTURE.md has the table.
 */
import type { PartitionId, SequencerId, StorageNodeId } from './ids.ts';

/** Queue group in which sequencers share the requests that any of them can answer. */
export const SEQUENCER_QUEUE = 'sequencers';

export class Subjects {
  readonly prefix: string;

  constructor(clusterName: string) {
    this.prefix = `pyra.${clusterName}.`;
  }

  /** Client to the owner: a frame. Reply: `AppendReply`. */
  append(namespace: string, sequencerId: SequencerId, partitionId: PartitionId): string {
    return `${this.prefix}append.${namespace}.${sequencerId}.${partitionId}`;
  }
  appendsTo(sequencerId: SequencerId): string {
    return `${this.prefix}append.*.${sequencerId}.*`;
  }

  /** Owner to the nodes of a copyset, and to tail readers: a stamped frame. */
  store(namespace: string, partitionId: PartitionId, copyset: readonly StorageNodeId[]): string {
    return `${this.prefix}store.${namespace}.${partitionId}.${copyset.join('.')}`;
  }
  /** The patterns that name a node in any place of a copyset of up to `replicationFactorMax` members. */
  storesTo(nodeId: StorageNodeId, replicationFactorMax: number): string[] {
    const patterns: string[] = [];
    for (let members = 1; members <= replicationFactorMax; members++) {
      for (let place = 0; place < members; place++) {
        const tokens = Array.from({ length: members }, (_, index) => (index === place ? nodeId : '*'));
        patterns.push(`${this.prefix}store.*.*.${tokens.join('.')}`);
      }
    }
    return patterns;
  }
  storesOf(namespace: string, partitionId: PartitionId): string {
    return `${this.prefix}store.${namespace}.${partitionId}.>`;
  }

  /** Owner to the one node that lacks a batch: the same frame again. */
  resend(nodeId: StorageNodeId): string {
    return `${this.prefix}resend.${nodeId}`;
  }

  /** Sequencer that takes over to a storage node: a seal request. Reply: `SealReply`. */
  seal(nodeId: StorageNodeId): string {
    return `${this.prefix}seal.${nodeId}`;
  }
  /** Sequencer that takes over to a storage node that has a batch: a fetch request. Reply: the frame. */
  fetch(nodeId: StorageNodeId): string {
    return `${this.prefix}fetch.${nodeId}`;
  }
  /** Sequencer that takes over to a storage node that lacks a batch: `WriteBack`. Reply: `StoreAcks`. */
  writeBack(nodeId: StorageNodeId): string {
    return `${this.prefix}write-back.${nodeId}`;
  }

  /** Storage nodes to the owner: `StoreAcks`. Also the reply subject of every store. */
  acks(sequencerId: SequencerId): string {
    return `${this.prefix}ack.${sequencerId}`;
  }
  get acksPrefix(): string {
    return `${this.prefix}ack.`;
  }

  /** Owner to tail readers: `Release`. */
  release(namespace: string, partitionId: PartitionId): string {
    return `${this.prefix}release.${namespace}.${partitionId}`;
  }

  /** Client to a storage node: `ReadRequest`. Reply: a stream of messages. */
  read(namespace: string, nodeId: StorageNodeId): string {
    return `${this.prefix}read.${namespace}.${nodeId}`;
  }
  readsTo(nodeId: StorageNodeId): string {
    return `${this.prefix}read.*.${nodeId}`;
  }

  /** Client to any sequencer: `AdminRequest` (topology, create, list, …) within a namespace. */
  admin(namespace: string): string {
    return `${this.prefix}admin.${namespace}`;
  }
  get admins(): string {
    return `${this.prefix}admin.*`;
  }
  /** Operator to any sequencer: `ClusterRequest`, over all namespaces. */
  get cluster(): string {
    return `${this.prefix}cluster`;
  }

  /** Operator to one sequencer: drain, resume. */
  operate(sequencerId: SequencerId): string {
    return `${this.prefix}operate.${sequencerId}`;
  }

  /** Client to the owner: `PartitionStatusRequest`. */
  partitions(namespace: string, sequencerId: SequencerId): string {
    return `${this.prefix}partitions.${namespace}.${sequencerId}`;
  }
  partitionsOf(sequencerId: SequencerId): string {
    return `${this.prefix}partitions.*.${sequencerId}`;
  }

  /** Sequencers to clients: `TopologyHint`. */
  topology(namespace: string, logName: string): string {
    return `${this.prefix}topology.${namespace}.${logName}`;
  }

  /** Every process to whom it concerns: `Heartbeat`. */
  heartbeat(role: 'sequencer' | 'storage-node', id: string): string {
    return `${this.prefix}heartbeat.${role}.${id}`;
  }
  /** Answered by nobody when the process is gone: NATS says so at once. */
  probe(role: 'sequencer' | 'storage-node', id: string): string {
    return `${this.prefix}probe.${role}.${id}`;
  }
  get heartbeats(): string {
    return `${this.prefix}heartbeat.>`;
  }
}

/** Token `index` of what follows the prefix (0 is the kind), or `undefined`. */
export function subjectToken(prefix: string, subject: string, index: number): string | undefined {
  return subject.slice(prefix.length).split('.')[index];
}
