/** Profiles processes that have `preload.ts`, over the window of one measurement. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PyralogError } from '@pyralog/shared/core';
import type { WindowObserver } from '../load/load-plan.ts';
import { type Profile, readProfile } from './self-times.ts';

export interface ProfiledProcess {
  /** Names its file. */
  readonly id: string;
  readonly pid: number;
}

const WRITTEN_WITHIN_MS = 30_000;

/** What the processes that may be profiled must have in their environment. */
export function profilingEnvironment(directory: string): Record<string, string> {
  const preload = fileURLToPath(new URL('./preload.js', import.meta.url));
  return { NODE_OPTIONS: `--import ${preload}`, PYRALOG_BENCH_PROFILE_DIR: directory };
}

export class Profiler implements WindowObserver {
  readonly #directory: string;
  readonly #processes: readonly ProfiledProcess[];

  constructor(directory: string, processes: readonly ProfiledProcess[]) {
    this.#directory = directory;
    this.#processes = processes;
  }

  opened(): void {
    this.#signal();
  }

  closed(): void {
    this.#signal();
  }

  /** By process. @throws PyralogError `timeout` when one has not written its profile. */
  async profiles(): Promise<Map<string, Profile>> {
    const profiles = new Map<string, Profile>();
    for (const { id, pid } of this.#processes) profiles.set(id, await readProfile(await this.#written(id, pid)));
    return profiles;
  }

  #signal(): void {
    for (const { pid } of this.#processes) process.kill(pid, 'SIGUSR2');
  }

  async #written(id: string, pid: number): Promise<string> {
    const file = join(this.#directory, `${pid}.cpuprofile`);
    const deadline = performance.now() + WRITTEN_WITHIN_MS;
    for (;;) {
      try {
        await access(file);
        return file;
      } catch (cause) {
        if (performance.now() > deadline) {
          throw new PyralogError({ code: 'timeout', message: 'profile was not written', fields: { id }, cause });
        }
        await sleep(20);
      }
    }
  }
}
