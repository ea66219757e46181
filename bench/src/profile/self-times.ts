/** Reads a `.cpuprofile` and sums the time that each function spent in itself. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

export interface SelfTime {
  /** Name and place, `(garbage collector)` and the like for what is not JavaScript. */
  readonly name: string;
  /** Of the time that the main thread was not idle. */
  readonly share: number;
}

export interface Profile {
  /** Of the profiled time, main thread only. */
  readonly busyShare: number;
  /** Largest first. */
  readonly functions: readonly SelfTime[];
}

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const IDLE = '(idle)';
/** The profiler's own work at its start and end. */
const PROFILER = 'dispatch';
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export async function readProfile(file: string): Promise<Profile> {
  const profile = JSON.parse(await readFile(file, 'utf8')) as CpuProfile;
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const micros = new Map<string, number>();
  let total = 0;
  for (const [index, id] of profile.samples.entries()) {
    const name = names.get(id) ?? '(unknown)';
    if (name === PROFILER) continue;
    const delta = Math.max(0, profile.timeDeltas[index] ?? 0);
    micros.set(name, (micros.get(name) ?? 0) + delta);
    total += delta;
  }
  const busy = total - (micros.get(IDLE) ?? 0);
  const functions = [...micros]
    .filter(([name]) => name !== IDLE)
    .map(([name, time]): SelfTime => ({ name, share: time / busy }))
    .sort((a, b) => b.share - a.share);
  return { busyShare: busy / total, functions };
}

function placeOf(frame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }): string {
  const name = frame.functionName === '' ? '(anonymous)' : frame.functionName;
  if (frame.url === '') return name;
  const path = frame.url.startsWith('file:') ? fileURLToPath(frame.url) : frame.url;
  const short = path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
  return `${name} ${short.replace('node_modules/nats/lib/nats-base-client/', 'nats.js/')}:${frame.lineNumber + 1}`;
}
