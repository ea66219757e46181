/**
 * What processes use, from `/proc`: CPU time of each role, resident memory, and CPU time of the whole machine, so that a
 * report shows when something else was running beside the benchmark.
 */
import { readFileSync } from 'node:fs';

export const ROLES = ['client', 'sequencer', 'storage-node', 'nats-server'] as const;
export type Role = (typeof ROLES)[number];

export interface RoleProcess {
  readonly role: Role;
  readonly pid: number;
}

/** CPU seconds since the processes (and the machine) started. */
export interface CpuReading {
  readonly roles: Readonly<Record<Role, number>>;
  /** All CPU seconds that were not idle, over all cores. */
  readonly machineBusy: number;
  /** CPU seconds that the hypervisor gave to others. */
  readonly stolen: number;
}

export interface CpuSeconds extends Readonly<Record<Role, number>> {
  /** Of processes that are no part of the measurement, and of the kernel on nobody's behalf. */
  readonly other: number;
  readonly stolen: number;
}

/** Linux' USER_HZ, in which /proc counts CPU time. */
const TICKS_PER_SECOND = 100;
const BYTES_PER_KIB = 1_024;

export function readCpu(processes: readonly RoleProcess[]): CpuReading {
  const roles = noRoles();
  for (const { role, pid } of processes) roles[role] += processCpuSeconds(pid);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)
    .join('')
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return {
    roles,
    machineBusy: (user + nice + system + irq + softirq) / TICKS_PER_SECOND,
    stolen: steal / TICKS_PER_SECOND,
  };
}

/** CPU seconds between two readings. */
export function cpuBetween(from: CpuReading, until: CpuReading): CpuSeconds {
  const roles = noRoles();
  let own = 0;
  for (const role of ROLES) {
    roles[role] = round(until.roles[role] - from.roles[role]);
    own += roles[role];
  }
  const other = Math.max(0, until.machineBusy - from.machineBusy - own);
  return { ...roles, other: round(other), stolen: round(until.stolen - from.stolen) };
}

/** Resident memory of each role, bytes, summed over its processes. */
export function readMemory(processes: readonly RoleProcess[]): Record<Role, number> {
  const roles = noRoles();
  for (const { role, pid } of processes) {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    roles[role] += Number(kib ?? 0) * BYTES_PER_KIB;
  }
  return roles;
}

function processCpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the command in parentheses and may hold anything; what is wanted are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function noRoles(): Record<Role, number> {
  return { client: 0, sequencer: 0, 'storage-node': 0, 'nats-server': 0 };
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}
