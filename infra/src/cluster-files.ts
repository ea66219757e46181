/**
 * The two files that say who runs a cluster directory: `cluster.lock`, taken first, with the pid of the starting
 * process; `cluster.json`, there while the cluster is up, for people and tools.
 */
import { readFileSync } from 'node:fs';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PyralogError } from '@pyralog/shared/core';
import { z } from 'zod';

const clusterFileSchema = z.object({
  natsUrl: z.string(),
  monitorUrl: z.string(),
  processes: z.array(
    z.object({ role: z.string(), id: z.string(), pid: z.number().int().positive(), logFile: z.string() }),
  ),
});
export type ClusterFile = z.infer<typeof clusterFileSchema>;

const lockSchema = z.object({ pid: z.number().int().positive(), startedAt: z.string() });
const LOCK_ATTEMPTS = 5;
const LEFTOVERS_WITHIN_MS = 15_000;
const POLL_MS = 50;

export class ClusterFiles {
  readonly #clusterFile: string;
  readonly #lockFile: string;

  constructor(directory: string) {
    this.#clusterFile = path.join(directory, 'cluster.json');
    this.#lockFile = path.join(directory, 'cluster.lock');
  }

  /**
   * Takes the directory for this process. Processes that the last owner left behind are given time to end.
   * @throws PyralogError `unavailable` naming the process that has it.
   */
  async lock(): Promise<void> {
    // Linked into place, the lock is there with its content or not at all.
    const content = `${this.#lockFile}.${process.pid}.tmp`;
    await writeFile(content, JSON.stringify({ pid: process.pid, startedAt: startTime(process.pid) }));
    try {
      await this.#take(content);
    } finally {
      await rm(content, { force: true });
    }
    try {
      await this.#awaitLeftovers();
    } catch (error) {
      await this.unlock();
      throw error;
    }
  }

  async #take(content: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await link(content, this.#lockFile);
        return;
      } catch (cause) {
        if (!isExisting(cause) || attempt === LOCK_ATTEMPTS) throw cause;
      }
      const owner = await readJson(this.#lockFile, lockSchema);
      if (owner !== undefined && isAlive(owner.pid) && startTime(owner.pid) === owner.startedAt) {
        throw new PyralogError({
          code: 'unavailable',
          message: 'a cluster is running in this directory',
          retry: 'never',
          fields: { field: 'directory', pid: owner.pid, lockFile: this.#lockFile },
        });
      }
      await rm(this.#lockFile, { force: true });
    }
  }

  async unlock(): Promise<void> {
    await rm(this.#clusterFile, { force: true });
    await rm(this.#lockFile, { force: true });
  }

  async write(cluster: ClusterFile): Promise<void> {
    const temporary = `${this.#clusterFile}.${process.pid}.tmp`;
    await writeFile(temporary, `${JSON.stringify(cluster, undefined, 2)}\n`);
    await rename(temporary, this.#clusterFile);
  }

  async #awaitLeftovers(): Promise<void> {
    const before = await readJson(this.#clusterFile, clusterFileSchema);
    const deadline = performance.now() + LEFTOVERS_WITHIN_MS;
    for (const { id, pid, role } of before?.processes ?? []) {
      while (isAlive(pid) && looksLike(pid, role)) {
        if (performance.now() > deadline) {
          throw new PyralogError({
            code: 'unavailable',
            message: 'a process of the last cluster in this directory is still running',
            retry: 'never',
            fields: { field: 'directory', id, pid },
          });
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    await rm(this.#clusterFile, { force: true });
  }
}

function isExisting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST';
}

/** What the file holds, or `undefined` when it is absent or not well formed, as a crash may leave it. */
async function readJson<T extends z.ZodType>(file: string, schema: T): Promise<z.output<T> | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  return procStat(pid)[0] !== 'Z';
}

/** Tells a process from a later one with its number; empty where there is no `/proc`. */
function startTime(pid: number): string {
  return procStat(pid)[19] ?? '';
}

/** The fields after the name: state first, start time twentieth. */
function procStat(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** Whether the command line is that of a process of ours, where that can be seen. */
function looksLike(pid: number, role: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(role);
  } catch {
    return true;
  }
}
