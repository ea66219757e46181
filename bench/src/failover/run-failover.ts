/** `failover`: its parts one after another, each on a cluster of its own. */
import { type SurroundingsOptions, withSurroundings } from '../surroundings.ts';
import { measureConsensus } from './consensus.ts';
import { measureDensity } from './density.ts';
import { goalsOf } from './goals.ts';
import type { FailoverOptions } from './options.ts';
import type { FailoverReport } from './report.ts';
import { measureChanges } from './sequencer-changes.ts';
import { SequencerWrites } from './sequencer-writes.ts';

export function runFailover(options: FailoverOptions, given: SurroundingsOptions): Promise<FailoverReport> {
  return withSurroundings(given, async (surroundings) => {
    const { parts } = options;
    const startedAt = new Date().toISOString();
    const writes = new SequencerWrites();
    const changes =
      parts.includes('failures') || parts.includes('handovers')
        ? await measureChanges(options, surroundings, writes)
        : undefined;
    const density = parts.includes('density') ? await measureDensity(options, surroundings, writes) : undefined;
    const consensus = parts.includes('consensus') ? await measureConsensus(options, surroundings) : undefined;
    const events = changes?.events ?? [];
    return {
      benchmark: 'failover',
      startedAt,
      machine: surroundings.machine,
      options,
      events,
      ...(changes === undefined ? {} : { calm: changes.calm, check: changes.check }),
      ...(density === undefined ? {} : { density }),
      ...(consensus === undefined ? {} : { consensus }),
      sequencerWrites: { processes: writes.processes, bytes: writes.bytes },
      goals: goalsOf({ events, density, sequencerBytes: writes.bytes }),
    };
  });
}
