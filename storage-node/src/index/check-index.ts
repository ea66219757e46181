/**
 * Walks every page of an index, in a process of its own: LMDB has no checksums, and a damaged file may crash whoever
 * reads it. Exit status 0: it could be read to its end. Argument: the directory.
 */
import { open } from 'lmdb';
import { z } from 'zod';

const directory = z.string().parse(process.argv[2]);
const entryCount = z.object({ entryCount: z.number() });
const BINARY = { encoding: 'binary', keyEncoding: 'binary' } as const;

const root = open<Buffer, Buffer>({ path: directory, ...BINARY, readOnly: true, maxDbs: 8 });
for (const name of ['batches', 'partitions', 'segments', 'meta']) {
  const database = root.openDB<Buffer, Buffer>({ name, ...BINARY });
  const expected = entryCount.parse(database.getStats()).entryCount;
  if (database.getKeysCount() !== expected) process.exit(1);
}
await root.close();
