/** Which storage nodes a new epoch uses. */
import {
  type Fragment,
  hashWords,
  LIMITS,
  type LogConfig,
  murmur2,
  type NodeRegistration,
  type PartitionId,
  PyralogError,
  rendezvousRank,
  utf8,
} from '@pyralog/shared/core';
import type { Liveness } from './liveness.ts';

type Slots = Fragment['slots'];

/**
 * The slots of a new epoch: every live storage node with room, at most `nodesetNodesMax`, those that rendezvous hashing
 * ranks first for the partition. When fewer than RF live, registered nodes fill up to RF, those of the last nodeset
 * first: writes then go on with W copies.
 * @throws PyralogError `unavailable` when fewer than RF nodes are registered or fewer than W live.
 */
export function chooseSlots(options: {
  log: LogConfig;
  partitionId: PartitionId;
  nodes: Iterable<NodeRegistration>;
  liveness: Liveness;
  lastSlots: Slots;
}): Slots {
  const { log, partitionId, nodes, liveness, lastSlots } = options;
  const registered = new Map([...nodes].map((node) => [node.nodeId, node]));
  const live = liveness.servingStorageNodes().flatMap(({ id, instance }) => {
    const node = registered.get(id);
    return node !== undefined && node.incarnation === instance ? [node] : [];
  });
  if (registered.size < log.replicationFactor || live.length < log.writeQuorum) {
    throw new PyralogError({
      code: 'unavailable',
      message: 'too few storage nodes for a new epoch',
      fields: {
        partitionId,
        registered: registered.size,
        live: live.length,
        replicationFactor: log.replicationFactor,
        writeQuorum: log.writeQuorum,
      },
    });
  }
  const chosen = new Set(live);
  if (chosen.size < log.replicationFactor) {
    const former = lastSlots.flatMap((slot) => registered.get(slot.nodeId) ?? []);
    for (const node of [...former, ...registered.values()]) {
      if (chosen.size >= log.replicationFactor) break;
      chosen.add(node);
    }
  }
  return bounded([...chosen], partitionId)
    .sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1))
    .map(({ nodeId, incarnation, zone }) =>
      zone === undefined ? { nodeId, incarnation } : { nodeId, incarnation, zone },
    );
}

function bounded(nodes: NodeRegistration[], partitionId: PartitionId): NodeRegistration[] {
  if (nodes.length <= LIMITS.nodesetNodesMax) return nodes;
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  return rendezvousRank(hashWords(partitionId), byId.keys(), (id) => murmur2(utf8(id)))
    .slice(0, LIMITS.nodesetNodesMax)
    .flatMap((id) => byId.get(id) ?? []);
}
