/** A sequencer or a storage node as a `ClusterProcess`: its program, its environment, and its `ready` line. */
import { fileURLToPath } from 'node:url';
import type { Logger } from '@pyralog/shared/core';
import type { Environment } from '@pyralog/shared/node';
import { ClusterProcess } from './cluster-process.ts';

export type ServiceRole = 'sequencer' | 'storage-node';

export interface ServiceProcessOptions {
  readonly role: ServiceRole;
  readonly id: string;
  readonly cwd: string;
  /** `PYRALOG_*` and whatever else the service is to see. */
  readonly environment: Environment;
  readonly logFile: string;
  readonly logger: Logger;
  readonly onStart?: () => void;
}

/** What a service gets from the environment of this process, besides the `PYRALOG_*` that it is given. */
const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ'];

export function serviceProcess(options: ServiceProcessOptions): ClusterProcess {
  const { environment, ...rest } = options;
  return new ClusterProcess({
    ...rest,
    command: process.execPath,
    args: ['--import', new URL('exit-with-parent.js', import.meta.url).href, fileURLToPath(programOf(options.role))],
    environment: { ...inherited(), ...environment },
    ready: { line: isReadyLine },
  });
}

function programOf(role: ServiceRole): URL {
  return new URL('../main.js', import.meta.resolve(`@pyralog/${role}/core`));
}

function inherited(): Environment {
  const names = Object.keys(process.env).filter((name) => INHERITED.includes(name) || name.startsWith('PYRALOG_'));
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

function isReadyLine(line: string): boolean {
  if (!line.includes('"ready"')) return false;
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === 'object' && parsed !== null && 'msg' in parsed && parsed.msg === 'ready';
  } catch {
    return false;
  }
}
