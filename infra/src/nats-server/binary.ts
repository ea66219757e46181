/** Whether a file really is a nats-server that runs here, and which. */
import type { Environment } from '@pyralog/shared/node';
import { runCommand } from './run-command.ts';

const VERSION_TIMEOUT_MS = 10_000;
const VERSION = /nats-server: v(\d+)\.(\d+)\.(\d+)/;

/** Versions from here on are used; those before `PREFERRED` only when there is no other. */
const MINIMUM = [2, 9] as const;
const PREFERRED = [2, 10] as const;

/** Runs `path --version`. @throws Error when it does not run, is no nats-server, or is too old. */
export async function versionOf(path: string, environment: Environment): Promise<string> {
  const { stdout, stderr } = await runCommand(path, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS, environment });
  const match = VERSION.exec(stdout) ?? VERSION.exec(stderr);
  if (match === null) throw new Error(`${path} does not say that it is nats-server`);
  const version = match.slice(1, 4).join('.');
  if (!isAtLeast(version, MINIMUM)) throw new Error(`${path} is ${version}, older than ${MINIMUM.join('.')}`);
  return version;
}

export function isPreferred(version: string): boolean {
  return isAtLeast(version, PREFERRED);
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [hasMajor = 0, hasMinor = 0] = version.split('.').map(Number);
  return hasMajor > major || (hasMajor === major && hasMinor >= minor);
}
