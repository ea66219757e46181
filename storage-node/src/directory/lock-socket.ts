/**
 * A Unix socket in the data directory that its process listens on: whoever can connect to it sees that the directory is
 * in use, from another container too. The kernel stops listening when the process ends, however it ends; the name that
 * is then left over is cleared away by the next process.
 */
import { once } from 'node:events';
import { link, open, rename, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import path from 'node:path';

/** What fits the address of a Unix socket, less the name. */
const DIRECTORY_LENGTH_MAX = 90;
const NAME = 'lock.sock';

export type SocketLock = { readonly kind: 'held'; release(): Promise<void> } | { readonly kind: 'in-use' };

/** @throws the system's error when the directory cannot hold a socket. */
export async function lockSocket(dataDirectory: string): Promise<SocketLock> {
  // A directory with a long name is reached by way of its file descriptor.
  const handle = dataDirectory.length > DIRECTORY_LENGTH_MAX ? await open(dataDirectory, 'r') : undefined;
  const directory = handle === undefined ? dataDirectory : `/proc/self/fd/${handle.fd}`;
  try {
    const server = (await listen(path.join(directory, NAME))) ?? (await replaceStale(directory));
    if (server === undefined) {
      await handle?.close();
      return { kind: 'in-use' };
    }
    return {
      kind: 'held',
      release: async () => {
        server.close();
        await once(server, 'close');
        await handle?.close();
      },
    };
  } catch (reason) {
    await handle?.close();
    throw reason;
  }
}

/** `undefined` when the name is taken. */
async function listen(address: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  server.unref();
  server.listen(address);
  try {
    await once(server, 'listening');
    return server;
  } catch (reason) {
    if (reason instanceof Error && 'code' in reason && reason.code === 'EADDRINUSE') return undefined;
    throw reason;
  }
}

/**
 * Takes the name from a process that has ended; `undefined` when it turns out to be alive. The name is moved aside before
 * it is judged: of two processes that find a stale one, the later would otherwise remove the socket of the earlier.
 */
async function replaceStale(directory: string): Promise<Server | undefined> {
  const address = path.join(directory, NAME);
  if (await answers(address)) return undefined;
  const aside = path.join(directory, `${NAME}.${process.pid}`);
  await rename(address, aside);
  if (!(await answers(aside))) {
    await rm(aside, { force: true });
    return listen(address);
  }
  await link(aside, address);
  await rm(aside, { force: true });
  return undefined;
}

async function answers(address: string): Promise<boolean> {
  const socket = connect(address);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
