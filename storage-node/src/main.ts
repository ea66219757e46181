#!/usr/bin/env node
/**
 * The storage node's process: configuration, adapters, signals. Ready when it logs `ready`; SIGTERM and SIGINT stop it
 * cleanly with status 0; whatever it cannot go on with is logged and ends it with status 1.
 */
import { PyralogError } from '@pyralog/shared/core';
import {
  collectGarbageLessOften,
  connectNats,
  createLogger,
  NatsMetadataStore,
  nativeCrc32,
  type ProcessLogger,
  systemClock,
  systemRandom,
} from '@pyralog/shared/node';
import { readStorageNodeConfig, type StorageNodeConfig } from './config.ts';
import { checkSegments } from './core/replay/check-segments.ts';
import { StorageNode } from './core/storage-node.ts';
import { type DirectoryLock, lockDirectory } from './directory/directory-lock.ts';
import { openIdentity } from './directory/identity.ts';
import { FileSegmentDisk } from './disk/file-segment-disk.ts';
import { makeDirectoryDurably } from './disk/sync-directory.ts';
import { openIndex } from './index/open-index.ts';

const SERVICE = 'storage-node';
/** A stop that takes longer than this is given up on: what is lost is what a crash would lose. */
const STOP_TIMEOUT_MS = 30_000;

let logger: ProcessLogger = createLogger({ service: SERVICE, level: 'info' });

function exitFatally(reason: unknown): never {
  logger.error(reason instanceof Error ? reason.message : 'storage node failed', { error: reason });
  logger.flush();
  process.exit(1);
}

let lock: DirectoryLock | undefined;
let node: StorageNode | undefined;
let closeConnections: () => Promise<unknown> = () => Promise.resolve();

async function run({ dataDirectory, natsUrl, settings }: StorageNodeConfig): Promise<void> {
  const { nodeId } = settings;
  await makeDirectoryDurably(dataDirectory);
  lock = await lockDirectory(dataDirectory, logger);
  const incarnation = await openIdentity(dataDirectory, nodeId, systemRandom);
  const disk = await FileSegmentDisk.open(dataDirectory);
  // Again when the node starts; here, so that a directory that cannot be used is refused also while NATS is away.
  await checkSegments({ disk, incarnation, crc32: nativeCrc32, logger });
  const data = await connectNats({
    url: natsUrl,
    name: `${nodeId} data`,
    logger,
    connectTimeoutMs: Number.POSITIVE_INFINITY,
  });
  const control = await connectNats({
    url: natsUrl,
    name: `${nodeId} control`,
    logger,
    connectTimeoutMs: Number.POSITIVE_INFINITY,
  });
  closeConnections = () => Promise.all([data.close(), control.close()]);
  const starting = new StorageNode({
    settings,
    incarnation,
    data,
    control,
    metadata: new NatsMetadataStore(control.connection, logger),
    disk,
    openIndex: () => openIndex({ dataDirectory, incarnation, logger }),
    clock: systemClock,
    random: systemRandom,
    crc32: nativeCrc32,
    logger,
    residentBytes: () => process.memoryUsage.rss(),
    onFatal: exitFatally,
  });
  await starting.start();
  node = starting;
  logger.info('ready', { incarnation, dataDirectory });
}

/** A start that is interrupted leaves what a crash would leave, and nothing was acknowledged yet. */
async function stop(signal: string): Promise<never> {
  logger.info('stopping', { signal });
  const late = new PyralogError({ code: 'timeout', message: 'storage node did not stop in time' });
  setTimeout(() => exitFatally(late), STOP_TIMEOUT_MS).unref();
  await node?.stop();
  await closeConnections();
  await lock?.release();
  logger.info('stopped');
  logger.flush();
  process.exit(0);
}

process.once('SIGTERM', (signal) => void stop(signal).catch(exitFatally));
process.once('SIGINT', (signal) => void stop(signal).catch(exitFatally));
process.on('uncaughtException', exitFatally);
process.on('unhandledRejection', exitFatally);

collectGarbageLessOften();
try {
  const config = readStorageNodeConfig(process.env);
  logger = createLogger({ service: SERVICE, id: config.settings.nodeId, level: config.logLevel });
  await run(config);
} catch (reason) {
  exitFatally(reason);
}
