/**
 * What the torture does to a cluster. Each fault ends with the cluster as it was, so that faults may follow one another;
 * at most RF - W storage nodes are away at a time, so that nothing acknowledged may be lost.
 */
import type { ClusterProcess, LocalCluster } from '@pyralog/infra';
import type { Seeded } from '../support/seeded.ts';

export interface Fault {
  readonly name: string;
  run(cluster: LocalCluster, random: Seeded): Promise<void>;
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function killAndRestart(process: ClusterProcess, awayMs: number): Promise<void> {
  process.kill('SIGKILL');
  await process.exited;
  await pause(awayMs);
  await process.start();
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill a sequencer',
    run: (cluster, random) => killAndRestart(random.pick(cluster.sequencers), random.whole(0, 2_000)),
  },
  {
    name: 'kill sequencers one after another, in the middle of each other’s recoveries',
    run: async (cluster, random) => {
      for (const sequencer of cluster.sequencers) {
        sequencer.kill('SIGKILL');
        await sequencer.exited;
        await pause(random.whole(0, 400));
        await sequencer.start();
        await pause(random.whole(0, 700));
      }
    },
  },
  {
    name: 'kill all sequencers',
    run: async (cluster, random) => {
      await Promise.all(cluster.sequencers.map((sequencer) => killAndRestart(sequencer, random.whole(0, 1_000))));
    },
  },
  {
    name: 'stop a sequencer past suspicion',
    run: async (cluster, random) => {
      const sequencer = random.pick(cluster.sequencers);
      sequencer.kill('SIGSTOP');
      await pause(random.whole(600, 2_500));
      sequencer.kill('SIGCONT');
    },
  },
  {
    name: 'kill a storage node',
    run: (cluster, random) => killAndRestart(random.pick(cluster.storageNodes), random.whole(0, 3_000)),
  },
  {
    name: 'stop a storage node',
    run: async (cluster, random) => {
      const node = random.pick(cluster.storageNodes);
      node.kill('SIGSTOP');
      await pause(random.whole(300, 3_000));
      node.kill('SIGCONT');
    },
  },
  {
    name: 'kill a sequencer and a storage node',
    run: async (cluster, random) => {
      await Promise.all([
        killAndRestart(random.pick(cluster.sequencers), random.whole(0, 1_000)),
        killAndRestart(random.pick(cluster.storageNodes), random.whole(0, 1_000)),
      ]);
    },
  },
  {
    name: 'kill every storage node at once',
    run: async (cluster) => {
      await Promise.all(cluster.storageNodes.map((node) => killAndRestart(node, 0)));
    },
  },
  {
    name: 'restart nats-server',
    run: (cluster, random) => killAndRestart(cluster.nats, random.whole(0, 500)),
  },
  {
    name: 'restart a sequencer in good order',
    run: async (cluster, random) => {
      const sequencer = random.pick(cluster.sequencers);
      await sequencer.stop();
      await sequencer.start();
    },
  },
];
