/** The servers that are installed: every `nats-server` in the directories of `PATH`. */
import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { isPreferred, versionOf } from './binary.ts';
import type { NatsServerBinary, NatsServerSource } from './source.ts';

const DIRECTORIES_MAX = 256;

export const pathSource: NatsServerSource = {
  name: 'PATH',
  async find({ environment }) {
    const directories = (environment.PATH ?? '')
      .split(path.delimiter)
      .filter((directory) => path.isAbsolute(directory));
    let older: NatsServerBinary | undefined;
    let problem: unknown = new Error('no nats-server in any of its directories');
    for (const directory of directories.slice(0, DIRECTORIES_MAX)) {
      const candidate = path.join(directory, 'nats-server');
      try {
        await access(candidate, constants.X_OK);
      } catch {
        continue;
      }
      try {
        const found = { path: candidate, version: await versionOf(candidate, environment), source: 'PATH' };
        if (isPreferred(found.version)) return found;
        older ??= found;
      } catch (error) {
        problem = error;
      }
    }
    if (older !== undefined) return older;
    throw problem;
  },
};
