/**
 * One file out of an archive in memory: a tar (POSIX ustar) or a zip. Only what release archives and wheels use: no
 * links, no encryption, no zip64. Lengths are checked against what remains before anything is read.
 */
import { inflateRawSync } from 'node:zlib';

const TAR_BLOCK = 512;
const TAR_REGULAR = new Set(['0', '\0']);

/** The regular file whose path ends in `suffix`. @throws Error when there is none. */
export function fileOfTar(archive: Buffer, suffix: string): Buffer {
  for (let position = 0; position + TAR_BLOCK <= archive.byteLength; ) {
    const header = archive.subarray(position, position + TAR_BLOCK);
    if (header[0] === 0) break;
    const size = Number.parseInt(cString(header, 124, 12), 8);
    const from = position + TAR_BLOCK;
    if (!Number.isSafeInteger(size) || size < 0 || from + size > archive.byteLength)
      throw new Error('tar archive is damaged');
    const prefix = cString(header, 345, 155);
    const name = cString(header, 0, 100);
    const kind = header.toString('latin1', 156, 157);
    if (TAR_REGULAR.has(kind) && (prefix === '' ? name : `${prefix}/${name}`).endsWith(suffix)) {
      return archive.subarray(from, from + size);
    }
    position = from + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  throw new Error(`archive has no ${suffix}`);
}

function cString(bytes: Buffer, from: number, length: number): string {
  const field = bytes.toString('latin1', from, from + length);
  const end = field.indexOf('\0');
  return (end < 0 ? field : field.slice(0, end)).trim();
}

const ZIP_END = 0x06054b50;
const ZIP_END_BYTES = 22;
const ZIP_COMMENT_BYTES_MAX = 0xffff;
const ZIP_ENTRY = 0x02014b50;
const ZIP_ENTRY_BYTES = 46;
const ZIP_LOCAL = 0x04034b50;
const ZIP_LOCAL_BYTES = 30;
const METHOD_STORED = 0;
const METHOD_DEFLATED = 8;

/** The file whose path ends in `suffix`, at most `bytesMax` long. @throws Error when there is none. */
export function fileOfZip(archive: Buffer, suffix: string, bytesMax: number): Buffer {
  const end = endOfZip(archive);
  const count = archive.readUInt16LE(end + 10);
  let position = archive.readUInt32LE(end + 16);
  for (let index = 0; index < count; index++) {
    if (position + ZIP_ENTRY_BYTES > archive.byteLength || archive.readUInt32LE(position) !== ZIP_ENTRY) break;
    const nameLength = archive.readUInt16LE(position + 28);
    const name = archive.toString('utf8', position + ZIP_ENTRY_BYTES, position + ZIP_ENTRY_BYTES + nameLength);
    if (name.endsWith(suffix)) return contentOf(archive, position, bytesMax);
    position +=
      ZIP_ENTRY_BYTES + nameLength + archive.readUInt16LE(position + 30) + archive.readUInt16LE(position + 32);
  }
  throw new Error(`archive has no ${suffix}`);
}

function endOfZip(archive: Buffer): number {
  const last = archive.byteLength - ZIP_END_BYTES;
  for (let position = last; position >= Math.max(0, last - ZIP_COMMENT_BYTES_MAX); position--) {
    if (archive.readUInt32LE(position) === ZIP_END) return position;
  }
  throw new Error('file is not a zip archive');
}

function contentOf(archive: Buffer, entry: number, bytesMax: number): Buffer {
  const method = archive.readUInt16LE(entry + 10);
  const compressed = archive.readUInt32LE(entry + 20);
  const local = archive.readUInt32LE(entry + 42);
  if (local + ZIP_LOCAL_BYTES > archive.byteLength || archive.readUInt32LE(local) !== ZIP_LOCAL)
    throw new Error('zip archive is damaged');
  const from = local + ZIP_LOCAL_BYTES + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  if (from + compressed > archive.byteLength) throw new Error('zip archive is damaged');
  const bytes = archive.subarray(from, from + compressed);
  if (method === METHOD_STORED) return bytes;
  if (method === METHOD_DEFLATED) return inflateRawSync(bytes, { maxOutputLength: bytesMax });
  throw new Error(`zip archive uses method ${method}`);
}
