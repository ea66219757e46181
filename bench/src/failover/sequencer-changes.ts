/**
 * The cluster under a trickle of appends while its sequencers are killed, hang, hand over and return: two sequencers of
 * which one is the victim, in turn.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { assert } from '@pyralog/shared/core';
import { cpuBetween, type RoleProcess, readCpu, readMemory } from '../measure/processes.ts';
import { type Surroundings, stopping } from '../surroundings.ts';
import { checkLog } from './check-log.ts';
import { FailoverCluster } from './cluster.ts';
import { reportEvent, summarize } from './event-report.ts';
import { monotonicMs } from './monotonic.ts';
import type { FailoverOptions } from './options.ts';
import type { CalmReport, CheckReport, EventReport, FailoverEvent } from './report.ts';
import type { SequencerWrites } from './sequencer-writes.ts';
import { Trickle } from './trickle.ts';
import type { PartitionTrace } from './trickle-task.ts';

const LOG = 'bench/trickle';
const STORAGE_NODES = 4;
const SEQUENCERS = ['sequencer-1', 'sequencer-2'] as const;
/** Compilers and buffers settle within this. */
const WARMUP_MS = 3_000;
const CALM_MS = 5_000;
/** What an event is compared with, just before it. */
const BEFORE_MS = 500;
/** A sequencer hangs for this long at least: until everyone else has forgotten it. */
const HANG_MS = 4_000;
/** Appended still after an event is over, so that the last wait is seen to its end. */
const AFTER_MS = 500;

export interface ChangesReport {
  readonly calm: CalmReport;
  readonly events: readonly EventReport[];
  readonly check: CheckReport;
}

export function measureChanges(
  options: FailoverOptions,
  surroundings: Surroundings,
  writes: SequencerWrites,
): Promise<ChangesReport> {
  const { directory, logger, interrupt, progress } = surroundings;
  return stopping(async (started) => {
    progress(`starting a cluster with ${options.partitions} partitions`);
    const cluster = await FailoverCluster.start({
      directory: `${directory}/changes`,
      storageNodes: STORAGE_NODES,
      sequencers: SEQUENCERS.length,
      logger,
      writes,
    });
    started.push(cluster);
    await interrupt.during(cluster.createLog(LOG, options.partitions));
    await interrupt.during(cluster.settled(SEQUENCERS, options.partitions));
    const { natsUrl, clusterName } = cluster.local;
    const { partitions, rate: appendsPerSecond, probes } = options;
    const trickle = await Trickle.start({ natsUrl, clusterName }, { log: LOG, partitions, appendsPerSecond, probes });
    started.push(trickle);
    return interrupt.during(new SequencerChanges(options, surroundings, cluster, trickle).run());
  });
}

class SequencerChanges {
  readonly #options: FailoverOptions;
  readonly #surroundings: Surroundings;
  readonly #cluster: FailoverCluster;
  readonly #trickle: Trickle;
  readonly #events: EventReport[] = [];

  constructor(options: FailoverOptions, surroundings: Surroundings, cluster: FailoverCluster, trickle: Trickle) {
    this.#options = options;
    this.#surroundings = surroundings;
    this.#cluster = cluster;
    this.#trickle = trickle;
  }

  async run(): Promise<ChangesReport> {
    const { rounds, parts } = this.#options;
    await sleep(WARMUP_MS);
    const calm = await this.#measureCalm();
    for (let round = 1; round <= rounds; round++) {
      const victim = SEQUENCERS[(round - 1) % SEQUENCERS.length];
      assert(victim !== undefined, 'no sequencer');
      if (parts.includes('failures')) await this.#failures(victim, round);
      if (parts.includes('handovers')) await this.#handovers(victim, round);
    }
    this.#surroundings.progress('reading everything back');
    const check = await checkLog(this.#cluster.client, LOG, await this.#trickle.end());
    return { calm, events: this.#events, check };
  }

  async #measureCalm(): Promise<CalmReport> {
    const { local } = this.#cluster;
    const processes: RoleProcess[] = [...local.processes, { role: 'client', pid: this.#trickle.pid }];
    await this.#trickle.mark();
    const sinceMs = monotonicMs();
    const before = readCpu(processes);
    await sleep(CALM_MS);
    const cpuSeconds = cpuBetween(before, readCpu(processes));
    const seconds = (monotonicMs() - sinceMs) / 1_000;
    const traces = await this.#trickle.traces(sinceMs);
    const appends = traces.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    const waitMs = summarize(traces.map(({ longestWaitMs }) => longestWaitMs));
    const { progress } = this.#surroundings;
    progress(`calm: ${Math.round(appends / seconds)} appends/s, longest wait by partition p50 ${ms(waitMs.p50)}`);
    return { seconds, appendsPerSecond: appends / seconds, waitMs, cpuSeconds, memoryBytes: readMemory(processes) };
  }

  async #failures(victim: string, round: number): Promise<void> {
    const process = this.#cluster.sequencer(victim);
    await this.#failure('kill', victim, round, () => process.kill('SIGKILL'));
    await process.exited;
    await this.#handover('return', victim, round, () => process.start(), SEQUENCERS);
    await this.#failure('hang', victim, round, () => process.kill('SIGSTOP'));
    await sleep(HANG_MS);
    const logged = await fencedEpochs(process.logFile);
    await this.#handover('wake', victim, round, () => process.kill('SIGCONT'), SEQUENCERS);
    const last = this.#events.pop();
    assert(last !== undefined, 'event was not reported');
    this.#events.push({ ...last, fencedEpochs: (await fencedEpochs(process.logFile)) - logged });
  }

  async #handovers(victim: string, round: number): Promise<void> {
    const { admin } = this.#cluster.client;
    const process = this.#cluster.sequencer(victim);
    const others = SEQUENCERS.filter((id) => id !== victim);
    await this.#handover('drain', victim, round, () => admin.drainSequencer(victim), others);
    await this.#handover('resume', victim, round, () => admin.resumeSequencer(victim), SEQUENCERS);
    await this.#handover('terminate', victim, round, () => process.stop(), others);
    await this.#handover('return', victim, round, () => process.start(), SEQUENCERS);
  }

  async #failure(event: FailoverEvent, victim: string, round: number, act: () => void): Promise<void> {
    const owned = await this.#cluster.ownedBy(LOG, victim);
    await this.#trickle.mark();
    await sleep(BEFORE_MS);
    const atMs = monotonicMs();
    act();
    await this.#trickle.sweep();
    const traces = await this.#trickle.traces(atMs);
    this.#add(event, victim, round, traces, ({ partition }) => owned.has(partition));
  }

  /** Until `holders` have all partitions between them. */
  async #handover(
    event: FailoverEvent,
    victim: string,
    round: number,
    act: () => unknown,
    holders: readonly string[],
  ): Promise<void> {
    await this.#trickle.mark();
    await sleep(BEFORE_MS);
    const atMs = monotonicMs();
    await act();
    await this.#cluster.settled(holders, this.#options.partitions);
    await sleep(AFTER_MS);
    const traces = await this.#trickle.traces(atMs);
    this.#add(event, victim, round, traces, ({ epochBefore, epochAfter }) => epochBefore !== epochAfter);
  }

  #add(
    event: FailoverEvent,
    sequencerId: string,
    round: number,
    traces: readonly PartitionTrace[],
    isConcerned: (trace: PartitionTrace) => boolean,
  ): void {
    const isFailure = event === 'kill' || event === 'hang';
    const report = reportEvent({ event, round, sequencerId, traces, isConcerned, isFailure });
    this.#events.push(report);
    const { partitions, recoveredMs, waitMs, probedSilenceMs, failedCalls } = report;
    const shown = recoveredMs ?? waitMs;
    this.#surroundings.progress(
      `round ${round}, ${event} ${sequencerId}: ${partitions} partitions, ${recoveredMs === undefined ? 'waits' : 'recovered'} ` +
        `p50 ${ms(shown.p50)}, p99 ${ms(shown.p99)}, max ${ms(shown.max)}; ` +
        `probed without acknowledgement p50 ${ms(probedSilenceMs.p50)}, max ${ms(probedSilenceMs.max)}; ${failedCalls} failed calls`,
    );
  }
}

/** Epochs that the sequencer says it was fenced in. */
async function fencedEpochs(logFile: string): Promise<number> {
  const lines = (await readFile(logFile, 'utf8')).split('\n');
  return lines.filter((line) => line.includes('"msg":"epoch is fenced')).length;
}

function ms(milliseconds: number): string {
  return `${milliseconds.toFixed(milliseconds < 100 ? 1 : 0)} ms`;
}
