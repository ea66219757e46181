/**
 * Opens the index of a data directory, or makes a new one when it cannot be trusted; replay then fills it.
 *
 * LMDB has no checksums, and reading a damaged page may crash the process. So every page of an index that is there is
 * first walked by a child process, which may crash in our stead. That does not find an entry that is sound and wrong:
 * whoever catches the index lying has the file `index.distrusted` put beside it, and the next start begins anew.
 */
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BatchIndex, describeError, type Incarnation, type Logger } from '@pyralog/shared/core';
import { syncDirectory } from '../disk/sync-directory.ts';
import { LmdbBatchIndex } from './lmdb-batch-index.ts';

/** Of the layout in `index-keys.ts`; another one is rebuilt. */
const INDEX_VERSION = 1;
const CHECK_TIMEOUT_MS = 600_000;

export interface IndexPlace {
  readonly dataDirectory: string;
  readonly incarnation: Incarnation;
  readonly logger: Logger;
}

export async function openIndex(place: IndexPlace): Promise<BatchIndex> {
  const directory = path.join(place.dataDirectory, 'index');
  const marker = path.join(place.dataDirectory, 'index.distrusted');
  const problem = await reasonToDistrust(directory, marker);
  if (problem !== undefined) await remove(place, directory, marker, problem);
  const identity = `${INDEX_VERSION} ${place.incarnation}`;
  let index = openOrUndefined(place, directory, marker);
  if (index === undefined || (index.identity !== undefined && index.identity !== identity)) {
    await index?.close();
    await remove(place, directory, marker, 'it cannot be opened or is of another data directory');
    index = openMarked(directory, marker);
  }
  if (index.identity === undefined) await index.setIdentity(identity);
  return index;
}

function openMarked(directory: string, marker: string): LmdbBatchIndex {
  // At once, and not as a promise: the process may be about to stop for it.
  return new LmdbBatchIndex(directory, () => writeFileSync(marker, ''));
}

function openOrUndefined(place: IndexPlace, directory: string, marker: string): LmdbBatchIndex | undefined {
  try {
    return openMarked(directory, marker);
  } catch (reason) {
    place.logger.error('index cannot be opened', { problem: describeError(reason) });
    return undefined;
  }
}

async function remove(place: IndexPlace, directory: string, marker: string, problem: string): Promise<void> {
  place.logger.error('index is not trusted and is rebuilt from the segments', { problem });
  await rm(directory, { recursive: true, force: true });
  await syncDirectory(place.dataDirectory);
  await rm(marker, { force: true });
  await syncDirectory(place.dataDirectory);
}

async function reasonToDistrust(directory: string, marker: string): Promise<string | undefined> {
  if (existsSync(marker)) return 'it contradicted a segment';
  if (!existsSync(path.join(directory, 'data.mdb'))) return undefined;
  return (await isReadable(directory)) ? undefined : 'it is damaged';
}

/** Whether a child process can read it to its end. */
function isReadable(directory: string): Promise<boolean> {
  const script = fileURLToPath(new URL('./check-index.js', import.meta.url));
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, directory], { stdio: 'ignore', timeout: CHECK_TIMEOUT_MS });
    child.once('error', () => resolve(false));
    child.once('exit', (status) => resolve(status === 0));
  });
}
