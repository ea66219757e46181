/** What the figures were measured on. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly natsServer: string;
  /** Type of the file system that holds the data, and its device. */
  readonly fileSystem: string;
}

export function describeMachine(options: { readonly directory: string; readonly natsServer: string }): Machine {
  const processors = cpus();
  return {
    cores: processors.length,
    processor: processors[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    natsServer: options.natsServer,
    fileSystem: fileSystemOf(options.directory),
  };
}

/** The mount with the longest path that holds `directory`. */
function fileSystemOf(directory: string): string {
  let best: { path: string; description: string } | undefined;
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [mount, source] = line.split(' - ');
    const path = mount?.split(' ')[4];
    const [type, device] = source?.split(' ') ?? [];
    if (path === undefined || type === undefined || device === undefined) continue;
    const holds = directory === path || directory.startsWith(path.endsWith('/') ? path : `${path}/`);
    if (holds && (best === undefined || path.length >= best.path.length)) {
      best = { path, description: `${type} on ${device}` };
    }
  }
  return best?.description ?? 'unknown';
}
