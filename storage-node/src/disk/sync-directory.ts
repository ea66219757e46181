import { mkdir, open } from 'node:fs/promises';
import path from 'node:path';

/** Makes the entries of a directory durable: names created, renamed and removed before. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a directory and those above it that are missing, durably. */
export async function makeDirectoryDurably(directory: string): Promise<void> {
  const absolute = path.resolve(directory);
  const first = await mkdir(absolute, { recursive: true });
  if (first === undefined) return;
  for (let made = absolute; made.length >= first.length; made = path.dirname(made))
    await syncDirectory(path.dirname(made));
}
