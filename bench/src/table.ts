/** Tables and numbers as people read them. */
import type { LatencyMs } from './measure/latency.ts';
import type { Machine } from './measure/machine.ts';
import type { Usage } from './measure/measurement.ts';
import type { Role } from './measure/processes.ts';
import type { Profile } from './profile/self-times.ts';

export type Cell = string | number;

/** The first column to the left, the others to the right, two spaces apart; a rule below the titles. */
export function formatTable(titles: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const lines = [titles, ...rows].map((row) => row.map(String));
  const widths = titles.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const formatted = lines.map((line) =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  formatted.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  return `${formatted.join('\n')}\n`;
}

export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Two digits after the point below ten, then fewer. */
export function formatDecimal(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

export function latencyCells(latency: LatencyMs): Cell[] {
  return [latency.p50, latency.p99, latency.p999].map(formatDecimal);
}

export const LATENCY_TITLES = ['p50 ms', 'p99 ms', 'p999 ms'] as const;

const USED_ROLES: readonly Role[] = ['client', 'sequencer', 'storage-node', 'nats-server'];
export const USAGE_TITLES = [
  'cpu client',
  'sequencer',
  'storage',
  'nats',
  'other',
  'rss client',
  'sequencer',
  'storage',
  'nats',
] as const;

/** CPU seconds of each role and of everything else on the machine, then resident MB. */
export function usageCells({ cpuSeconds, memoryBytes }: Usage): Cell[] {
  return [
    ...USED_ROLES.map((role) => cpuSeconds[role].toFixed(2)),
    cpuSeconds.other.toFixed(2),
    ...USED_ROLES.map((role) => Math.round(memoryBytes[role] / 1e6)),
  ];
}

export function formatMachine(machine: Machine): string {
  const { cores, processor, memoryBytes, kernel, node, natsServer, fileSystem } = machine;
  return (
    `${cores} cores (${processor}), ${(memoryBytes / 2 ** 30).toFixed(0)} GiB, Linux ${kernel}, ` +
    `Node.js ${node}, nats-server ${natsServer}, ${fileSystem}\n`
  );
}

const FUNCTIONS_SHOWN = 15;

/** The functions of each process that took most time. */
export function formatProfiles(profiles: Readonly<Record<string, Profile>>): string {
  return Object.entries(profiles)
    .map(([id, { busyShare, functions }]) => {
      const rows = functions.slice(0, FUNCTIONS_SHOWN).map(({ name, share }) => [name, `${(share * 100).toFixed(1)}%`]);
      const title = `${id}: main thread busy ${(busyShare * 100).toFixed(0)}% of the time, of that`;
      return `${title}\n\n${formatTable(['function', 'self'], rows)}`;
    })
    .join('\n');
}
