/** What a process did to the disk, as Linux counts it. */
import { readFile } from 'node:fs/promises';
import { PyralogError } from '@pyralog/shared/core';

const WRITE_BYTES = /^write_bytes: (\d+)$/m;

/**
 * Bytes that `pid` has caused to be written to storage since it began (`write_bytes` of `/proc/<pid>/io`; pipes and
 * sockets do not count).
 * @throws PyralogError `unavailable` where there is no such file: the process has ended, or this is not Linux.
 */
export async function processWriteBytes(pid: number): Promise<number> {
  try {
    const match = WRITE_BYTES.exec(await readFile(`/proc/${pid}/io`, 'utf8'));
    if (match !== null) return Number(match[1]);
  } catch (cause) {
    throw new PyralogError({ code: 'unavailable', message: 'process has no i/o counters', fields: { pid }, cause });
  }
  throw new PyralogError({ code: 'unavailable', message: 'process has no i/o counters', fields: { pid } });
}
