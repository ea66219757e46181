/** Debian's (and Ubuntu's) package, downloaded and unpacked without being installed. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fetchIntoCache } from './cache.ts';
import { runCommand } from './run-command.ts';
import type { NatsServerSource } from './source.ts';

const PACKAGE = 'nats-server';
const DOWNLOAD_TIMEOUT_MS = 30_000;
const UPDATE_TIMEOUT_MS = 60_000;
const UNPACK_TIMEOUT_MS = 30_000;
const QUICK = ['-o', 'Acquire::Retries=0', '-o', 'Acquire::http::Timeout=5', '-o', 'Acquire::https::Timeout=5'];

export const debianSource: NatsServerSource = {
  name: 'debian package',
  find: (context) =>
    fetchIntoCache(context, 'debian package', async (directory) => {
      const { environment } = context;
      const apt = (timeoutMs: number, ...args: string[]) =>
        runCommand('apt-get', [...QUICK, ...args], { timeoutMs, environment, cwd: directory });
      try {
        await apt(DOWNLOAD_TIMEOUT_MS, 'download', PACKAGE);
      } catch (error) {
        // The lists of packages may be absent or old; only root can renew them.
        if (process.getuid?.() !== 0) throw error;
        await apt(UPDATE_TIMEOUT_MS, 'update');
        await apt(DOWNLOAD_TIMEOUT_MS, 'download', PACKAGE);
      }
      const file = (await readdir(directory)).find((name) => name.endsWith('.deb'));
      if (file === undefined) throw new Error('apt-get brought no package');
      const unpacked = path.join(directory, 'unpacked');
      await runCommand('dpkg-deb', ['-x', path.join(directory, file), unpacked], {
        timeoutMs: UNPACK_TIMEOUT_MS,
        environment,
      });
      for (const place of ['usr/sbin', 'usr/bin']) {
        const names: string[] = await readdir(path.join(unpacked, place)).catch(() => []);
        if (names.includes(PACKAGE)) return path.join(unpacked, place, PACKAGE);
      }
      throw new Error('package holds no server');
    }),
};
