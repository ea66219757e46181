/** Reads docs/FORMAT.md: its vectors, and its tables of bytes. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface ByteRow {
  readonly at: number;
  readonly size: number;
  readonly field: string;
}

function find(path: string, from: string): string {
  return existsSync(join(from, path)) ? join(from, path) : find(path, dirname(from));
}

export const FORMAT_DOCUMENT = readFileSync(find('docs/FORMAT.md', dirname(fileURLToPath(import.meta.url))), 'utf8');

/** What the blocks marked `vector=<name>` hold, by name. */
export function readVectors(): Map<string, unknown> {
  const vectors = new Map<string, unknown>();
  for (const [, name = '', json = ''] of FORMAT_DOCUMENT.matchAll(/^```json vector=(\S+)\n([\s\S]*?)^```$/gm)) {
    vectors.set(name, JSON.parse(json));
  }
  return vectors;
}

/** The tables with columns "at", "size" and "field", rows whose place is a number only. */
export function readByteTables(): ByteRow[][] {
  const tables: ByteRow[][] = [];
  for (const [table] of FORMAT_DOCUMENT.matchAll(/^\| at \| size \|.*\n(?:\|.*\n)+/gm)) {
    const rows = table.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
    tables.push(
      rows
        .filter(([, at, size]) => /^\d+$/.test(at ?? '') && /^\d+$/.test(size ?? ''))
        .map(([, at, size, field]) => ({ at: Number(at), size: Number(size), field: field ?? '' })),
    );
  }
  return tables;
}
