/** The server out of the official Docker image, which is not run: its file is copied out of a container never started. */
import path from 'node:path';
import { fetchIntoCache } from './cache.ts';
import { RELEASE_VERSION } from './release.ts';
import { runCommand } from './run-command.ts';
import type { NatsServerSource } from './source.ts';

const IMAGE = `nats:${RELEASE_VERSION}`;
const BINARY_IN_IMAGE = '/nats-server';
const DAEMON_TIMEOUT_MS = 5_000;
const CREATE_TIMEOUT_MS = 90_000;
const COPY_TIMEOUT_MS = 30_000;

export const dockerSource: NatsServerSource = {
  name: 'docker image',
  find: (context) =>
    fetchIntoCache(context, 'docker image', async (directory) => {
      const docker = (timeoutMs: number, ...args: string[]) =>
        runCommand('docker', args, { timeoutMs, environment: context.environment, cwd: directory });
      await docker(DAEMON_TIMEOUT_MS, 'version', '--format', '{{.Server.Version}}');
      const { stdout } = await docker(CREATE_TIMEOUT_MS, 'create', IMAGE);
      const container = stdout.trim().split('\n').at(-1) ?? '';
      try {
        await docker(COPY_TIMEOUT_MS, 'cp', `${container}:${BINARY_IN_IMAGE}`, directory);
      } finally {
        await docker(COPY_TIMEOUT_MS, 'rm', container).catch((error: unknown) => {
          context.logger.warn('container could not be removed', { container, error });
        });
      }
      return path.join(directory, path.basename(BINARY_IN_IMAGE));
    }),
};
