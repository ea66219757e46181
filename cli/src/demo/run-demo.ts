/**
 * The demo: appends a real data set, reads all of it back, compares every record with its source, and measures where the
 * copies went and that the sequencers wrote nothing to disk.
 */
import type { PyralogClient } from '@pyralog/client';
import type { ClusterProcess } from '@pyralog/infra';
import { formatLogName, type LogConfig, PyralogError } from '@pyralog/shared/core';
import { startProgress } from '../progress.ts';
import { createDemoLog } from './create-demo-log.ts';
import type { DemoResult, NodeLoad } from './demo-result.ts';
import { type FlightRecord, loadFlights } from './flights.ts';
import { ReadBackCheck } from './read-back-check.ts';

export interface DemoOptions {
  readonly client: PyralogClient;
  readonly storageNodes: number;
  readonly sequencers: readonly Pick<ClusterProcess, 'id' | 'bytesWritten'>[];
  readonly signal: AbortSignal;
  readonly progressStream: NodeJS.WriteStream;
}

/** Small, so that there are enough batches for the spread over storage nodes to show. */
const BATCH_BYTES = 16 * 1024;
/** Records between two updates of the progress bar. */
const PROGRESS_EVERY = 4_096;
/** How long to wait for the copies beyond the write quorum before they are counted. */
const COPIES_TIMEOUT_MS = 5_000;
const COPIES_POLL_MS = 100;

/** @throws PyralogError when a record did not come back as it was; `closed` when aborted. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { client, signal } = options;
  const flights = await loadFlights();
  const checkGoOn = (): void => checkNotAborted(signal);
  const log = await createDemoLog({ client, storageNodes: options.storageNodes, checkGoOn });
  const before = await nodeLoads(client);
  const produceSeconds = await produceAll(options, log, flights);
  const { firstRecordSeconds, consumeSeconds } = await consumeAll(options, log, flights);
  const storageNodes = await settledLoads(client, before, flights.length * log.replicationFactor, signal);
  const sequencers = await Promise.all(
    options.sequencers.map(async (sequencer) => ({
      id: sequencer.id,
      bytesWritten: await bytesWrittenToDisk(sequencer),
    })),
  );
  return {
    log: formatLogName(log),
    partitions: log.partitionCount,
    replicationFactor: log.replicationFactor,
    writeQuorum: log.writeQuorum,
    strategy: log.strategy,
    records: flights.length,
    valueBytes: flights.reduce((sum, flight) => sum + flight.value.byteLength, 0),
    produceSeconds,
    consumeSeconds,
    firstRecordSeconds,
    storageNodes,
    sequencers,
  };
}

async function produceAll(options: DemoOptions, log: LogConfig, flights: readonly FlightRecord[]): Promise<number> {
  const { client, signal, progressStream: stream } = options;
  const producer = client.producer(formatLogName(log), { batchBytes: BATCH_BYTES });
  const progress = startProgress({ stream, title: 'produce', total: flights.length });
  const startedAt = performance.now();
  try {
    let written = 0;
    for (const flight of flights) {
      const full = producer.write(flight);
      if (full !== undefined) await full;
      written++;
      if (written % PROGRESS_EVERY === 0) {
        checkNotAborted(signal);
        progress.update(written);
      }
    }
    await producer.flush();
    return secondsSince(startedAt);
  } finally {
    progress.stop();
    await producer.close();
  }
}

async function consumeAll(
  options: DemoOptions,
  log: LogConfig,
  flights: readonly FlightRecord[],
): Promise<{ firstRecordSeconds: number; consumeSeconds: number }> {
  const { client, signal, progressStream: stream } = options;
  const check = new ReadBackCheck(flights);
  const progress = startProgress({ stream, title: 'consume', total: flights.length });
  const reader = client.reader(formatLogName(log), { from: 'earliest', follow: false, signal });
  const startedAt = performance.now();
  let firstRecordSeconds: number | undefined;
  try {
    for await (const batch of reader.batches()) {
      // performance.now() counts from the start of the process.
      firstRecordSeconds ??= performance.now() / 1_000;
      for (const record of batch.records) check.record(record);
      progress.update(check.read);
    }
  } finally {
    progress.stop();
    await reader.close();
  }
  checkNotAborted(signal);
  check.finish();
  return { firstRecordSeconds: firstRecordSeconds ?? 0, consumeSeconds: secondsSince(startedAt) };
}

/** What storage nodes stored since `before`, once that is `copies` records or time is up. */
async function settledLoads(
  client: PyralogClient,
  before: ReadonlyMap<string, NodeLoad>,
  copies: number,
  signal: AbortSignal,
): Promise<NodeLoad[]> {
  const startedAt = performance.now();
  for (;;) {
    const loads = [...(await nodeLoads(client)).values()].map(({ id, records, bytes }) => ({
      id,
      records: records - (before.get(id)?.records ?? 0),
      bytes: bytes - (before.get(id)?.bytes ?? 0),
    }));
    const stored = loads.reduce((sum, load) => sum + load.records, 0);
    if (stored >= copies || performance.now() - startedAt > COPIES_TIMEOUT_MS) return loads;
    checkNotAborted(signal);
    await new Promise((resolve) => setTimeout(resolve, COPIES_POLL_MS));
  }
}

async function nodeLoads(client: PyralogClient): Promise<Map<string, NodeLoad>> {
  const loads = new Map<string, NodeLoad>();
  for (const { heartbeat } of (await client.admin.clusterStatus()).processes) {
    if (heartbeat.role !== 'storage-node') continue;
    loads.set(heartbeat.id, { id: heartbeat.id, records: heartbeat.storedRecords, bytes: heartbeat.storedBytes });
  }
  return new Map([...loads].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })));
}

/** `undefined` where that cannot be measured. */
async function bytesWrittenToDisk(process: Pick<ClusterProcess, 'bytesWritten'>): Promise<number | undefined> {
  try {
    return await process.bytesWritten();
  } catch (reason) {
    if (reason instanceof PyralogError) return undefined;
    throw reason;
  }
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1_000;
}

function checkNotAborted(signal: AbortSignal): void {
  if (signal.aborted) throw demoInterrupted();
}

export function demoInterrupted(): PyralogError {
  return new PyralogError({ code: 'closed', message: 'demo was interrupted', fields: { field: 'demo' } });
}
