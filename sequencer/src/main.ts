#!/usr/bin/env node
/**
 * The sequencer's process: configuration, adapters, signals. Ready when it logs `ready`; SIGTERM and SIGINT hand its
 * partitions over and end it with status 0; whatever it cannot go on with is logged and ends it with status 1. It writes
 * to no disk.
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
import { readSequencerConfig, type SequencerConfig } from './config.ts';
import { Sequencer } from './core/sequencer.ts';

const SERVICE = 'sequencer';
/** Longer than one drain may take. What is not handed over by then is recovered by another. */
const STOP_TIMEOUT_MS = 12_000;

let logger: ProcessLogger = createLogger({ service: SERVICE, level: 'info' });
let sequencer: Sequencer | undefined;
let closeConnections: () => Promise<unknown> = () => Promise.resolve();

function exitFatally(reason: unknown): never {
  logger.error(reason instanceof Error ? reason.message : 'sequencer failed', { error: reason });
  logger.flush();
  process.exit(1);
}

async function run({ natsUrl, options }: SequencerConfig): Promise<void> {
  const connection = (purpose: string) =>
    connectNats({
      url: natsUrl,
      name: `${options.sequencerId} ${purpose}`,
      logger,
      connectTimeoutMs: Number.POSITIVE_INFINITY,
    });
  const [data, control] = await Promise.all([connection('data'), connection('control')]);
  closeConnections = () => Promise.all([data.close(), control.close()]);
  sequencer = new Sequencer(options, {
    data,
    control,
    store: new NatsMetadataStore(control.connection, logger),
    clock: systemClock,
    random: systemRandom,
    crc32: nativeCrc32,
    logger,
    memoryBytes: () => process.memoryUsage.rss(),
    onSuperseded: () => {
      const message = 'another sequencer has started under the same id';
      exitFatally(new PyralogError({ code: 'fenced', message, fields: { sequencerId: options.sequencerId } }));
    },
  });
  await sequencer.start();
  logger.info('ready');
}

async function stop(signal: string): Promise<never> {
  logger.info('stopping', { signal });
  const late = new PyralogError({ code: 'timeout', message: 'sequencer did not stop in time' });
  setTimeout(() => exitFatally(late), STOP_TIMEOUT_MS).unref();
  await sequencer?.stop();
  await closeConnections();
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
  const config = readSequencerConfig(process.env);
  logger = createLogger({ service: SERVICE, id: config.options.sequencerId, level: config.logLevel });
  await run(config);
} catch (reason) {
  exitFatally(reason);
}
