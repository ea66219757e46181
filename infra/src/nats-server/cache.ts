/**
 * Servers that were fetched, kept in `<cache>/nats-server/<version>/nats-server`. A server is put there by renaming a
 * directory that is already complete, so that processes that fetch at the same time never see half of one; the first
 * wins and the others take what it put there.
 */
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import type { Environment } from '@pyralog/shared/node';
import { versionOf } from './binary.ts';
import type { NatsServerBinary, NatsServerSource, SourceContext } from './source.ts';

const BINARY = 'nats-server';
const SERVERS_DIRECTORY = 'nats-server';
const TEMPORARY_PREFIX = '.fetching-';
const VERSION_DIRECTORY = /^\d+\.\d+\.\d+$/;

/** `$XDG_CACHE_HOME/pyralog`, or `~/.cache/pyralog`. */
export function defaultCacheDirectory(environment: Environment): string {
  return path.join(environment.XDG_CACHE_HOME || path.join(environment.HOME || homedir(), '.cache'), 'pyralog');
}

/** The newest server that was fetched before. */
export const cacheSource: NatsServerSource = {
  name: 'cache',
  async find({ cacheDirectory, environment }) {
    const directory = path.join(cacheDirectory, SERVERS_DIRECTORY);
    const entries = await readdir(directory).catch(() => []);
    const versions = entries.filter((name) => VERSION_DIRECTORY.test(name)).sort(newestFirst);
    let problem: unknown = new Error(`${directory} is empty`);
    for (const name of versions) {
      const candidate = path.join(directory, name, BINARY);
      try {
        return { path: candidate, version: await versionOf(candidate, environment), source: 'cache' };
      } catch (error) {
        problem = error;
      }
    }
    throw problem;
  },
};

/**
 * Gives `fetch` an empty directory, and keeps the server whose path or bytes it returns, once it has been run.
 * @throws Error that of `fetch`, or why the server does not run.
 */
export async function fetchIntoCache(
  context: SourceContext,
  source: string,
  fetch: (directory: string) => Promise<Uint8Array | string>,
): Promise<NatsServerBinary> {
  const servers = path.join(context.cacheDirectory, SERVERS_DIRECTORY);
  await mkdir(servers, { recursive: true });
  const directory = await mkdtemp(path.join(servers, TEMPORARY_PREFIX));
  try {
    const complete = path.join(directory, 'complete');
    const work = path.join(directory, 'work');
    await mkdir(complete);
    await mkdir(work);
    const fetched = await fetch(work);
    const binary = path.join(complete, BINARY);
    if (typeof fetched === 'string') await rename(fetched, binary);
    else await writeFile(binary, fetched);
    await chmod(binary, 0o755);
    const version = await versionOf(binary, context.environment);
    const kept = path.join(servers, version);
    try {
      await rename(complete, kept);
    } catch (error) {
      // Somebody else was first, or what is there is damaged and gives way.
      const theirs = await versionOf(path.join(kept, BINARY), context.environment).catch(() => undefined);
      if (theirs === undefined) {
        await rm(kept, { recursive: true, force: true });
        await rename(complete, kept);
      } else if (theirs !== version) {
        throw error;
      }
    }
    return { path: path.join(kept, BINARY), version, source };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function newestFirst(a: string, b: string): number {
  const [left, right] = [a, b].map((name) => name.split('.').map(Number));
  for (let index = 0; index < 3; index++) {
    const difference = (right?.[index] ?? 0) - (left?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
