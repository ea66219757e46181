import { open, rename } from 'node:fs/promises';
import path from 'node:path';
import { syncDirectory } from './sync-directory.ts';

/** Writes a whole file so that after a crash there is either all of it, under its name, or what was there before. */
export async function writeFileDurably(file: string, content: string): Promise<void> {
  const unfinished = `${file}.tmp`;
  const handle = await open(unfinished, 'w', 0o644);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(unfinished, file);
  await syncDirectory(path.dirname(file));
}
