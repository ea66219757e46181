/**
 * Keeps a second process out of a data directory, and lets the next one in however the last one ended.
 *
 * A socket in the directory tells who asks that it is in use; but there may be a moment in which two processes clear away
 * the same left-over socket, and there are file systems without sockets. Node.js has no file locks, but LMDB does: every
 * process that reads a database holds a slot in its lock file, tied to its process id by a lock of the kernel. So an
 * otherwise empty database in `lock/` has the last word: a process takes its slot and then looks who else has one; of two
 * that start at the same moment both may see the other and both refuse. A process of another container that has the
 * same id waits within LMDB until the first one ends.
 */
import path from 'node:path';
import { describeError, type Logger, PyralogError } from '@pyralog/shared/core';
import { open, type RootDatabase } from 'lmdb';
import { lockSocket, type SocketLock } from './lock-socket.ts';

/** Held until it is released or the process ends; whoever has it must keep hold of it. */
export interface DirectoryLock {
  release(): Promise<void>;
}

type LockDatabase = RootDatabase<Buffer, Buffer>;

/** @throws PyralogError `unavailable` when another process uses the directory. */
export async function lockDirectory(dataDirectory: string, logger: Logger): Promise<DirectoryLock> {
  const socket = await takeSocket(dataDirectory, logger);
  try {
    const slot = await takeSlot(dataDirectory);
    return {
      release: async () => {
        await slot.release();
        await socket?.release();
      },
    };
  } catch (reason) {
    await socket?.release();
    throw reason;
  }
}

/** `undefined` where there can be no socket. */
async function takeSocket(dataDirectory: string, logger: Logger): Promise<DirectoryLock | undefined> {
  let socket: SocketLock;
  try {
    socket = await lockSocket(dataDirectory);
  } catch (reason) {
    logger.warn('data directory cannot hold a socket: another process is noticed later', {
      problem: describeError(reason),
    });
    return undefined;
  }
  if (socket.kind === 'in-use') throw inUse(dataDirectory);
  return socket;
}

async function takeSlot(dataDirectory: string): Promise<DirectoryLock> {
  let database: LockDatabase | undefined;
  try {
    const directory = path.join(dataDirectory, 'lock');
    const opened: LockDatabase = open({
      path: directory,
      encoding: 'binary',
      keyEncoding: 'binary',
      overlappingSync: false,
    });
    database = opened;
    // The slot is the lock: it is not done before the release.
    const slot = opened.useReadTransaction();
    opened.get(Buffer.from('slot'));
    opened.readerCheck();
    const others = holders(opened.readerList()).filter((pid) => pid !== process.pid);
    if (others.length > 0) {
      slot.done();
      throw inUse(dataDirectory, others[0]);
    }
    return {
      release: async () => {
        slot.done();
        await opened.close();
      },
    };
  } catch (cause) {
    await database?.close();
    if (cause instanceof PyralogError) throw cause;
    const fields = { dataDirectory, problem: describeError(cause) };
    throw new PyralogError({ code: 'unavailable', message: 'data directory cannot be locked', fields, cause });
  }
}

function inUse(dataDirectory: string, pid?: number): PyralogError {
  return new PyralogError({
    code: 'unavailable',
    message: 'data directory is used by another process',
    retry: 'never',
    fields: { dataDirectory, pid },
  });
}

/** Process ids in LMDB's table of readers: a line for each slot, which begins with the id. */
function holders(table: string): number[] {
  return table.split('\n').flatMap((line) => {
    const pid = /^\s*(\d+)\s/.exec(line)?.[1];
    return pid === undefined ? [] : [Number(pid)];
  });
}
