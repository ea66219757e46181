/**
 * The `SegmentDisk` port on files: `segments/<20-digit id>.seg`.
 *
 * A directory is synced whenever an entry of it changes: a file whose data is synced but whose name is not can be gone
 * after a power cut. A write may be short without an error (tmpfs does that before it says that it is full), so every
 * write is repeated until all is written or the disk says why not.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, statfs, unlink } from 'node:fs/promises';
import path from 'node:path';
import { assert, PyralogError, type SegmentDisk, type SegmentFile } from '@pyralog/shared/core';
import { syncDirectory } from './sync-directory.ts';
import { writeFileDurably } from './write-file-durably.ts';

const NAME = /^(\d{20})\.seg$/;
/** A file of this name says that something which was stored here is lost. */
const LOSS = 'loss';

export class FileSegmentDisk implements SegmentDisk {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Opens the segments of a data directory, which exists. */
  static async open(dataDirectory: string): Promise<FileSegmentDisk> {
    const directory = path.join(dataDirectory, 'segments');
    await attempt('segments directory cannot be made', { directory }, async () => {
      await mkdir(directory, { recursive: true });
      await syncDirectory(dataDirectory);
    });
    return new FileSegmentDisk(directory);
  }

  /** Files that are not named like a segment are left alone. */
  async list(): Promise<number[]> {
    const names = await attempt('segments cannot be listed', { directory: this.#directory }, () =>
      readdir(this.#directory),
    );
    const ids = names.flatMap((name) => {
      const digits = NAME.exec(name)?.[1];
      return digits === undefined ? [] : [Number(digits)];
    });
    return ids.sort((a, b) => a - b);
  }

  async create(segmentId: number): Promise<SegmentFile> {
    const file = this.#path(segmentId);
    return attempt('segment cannot be created', { file }, async () => {
      const handle = await open(file, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o644);
      await syncDirectory(this.#directory);
      return new FileSegment({ segmentId, file, handle, size: 0 });
    });
  }

  async open(segmentId: number): Promise<SegmentFile> {
    const file = this.#path(segmentId);
    return attempt('segment cannot be opened', { file }, async () => {
      const handle = await open(file, constants.O_RDWR);
      const { size } = await handle.stat();
      return new FileSegment({ segmentId, file, handle, size });
    });
  }

  async remove(segmentId: number): Promise<void> {
    const file = this.#path(segmentId);
    await attempt('segment cannot be removed', { file }, async () => {
      await unlink(file);
      await syncDirectory(this.#directory);
    });
  }

  async noteLoss(): Promise<void> {
    if (await this.hasLost()) return;
    const file = path.join(this.#directory, LOSS);
    await attempt('loss cannot be noted', { file }, () => writeFileDurably(file, ''));
  }

  async hasLost(): Promise<boolean> {
    const names = await attempt('segments cannot be listed', { directory: this.#directory }, () =>
      readdir(this.#directory),
    );
    return names.includes(LOSS);
  }

  /** What an ordinary process may use, without the blocks reserved for the superuser. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await attempt('free space cannot be read', { directory: this.#directory }, () =>
      statfs(this.#directory),
    );
    return bavail * bsize;
  }

  #path(segmentId: number): string {
    return path.join(this.#directory, `${segmentId.toString().padStart(20, '0')}.seg`);
  }
}

class FileSegment implements SegmentFile {
  readonly segmentId: number;
  readonly #file: string;
  readonly #handle: FileHandle;
  #size: number;

  constructor(opened: { segmentId: number; file: string; handle: FileHandle; size: number }) {
    this.segmentId = opened.segmentId;
    this.#file = opened.file;
    this.#handle = opened.handle;
    this.#size = opened.size;
  }

  get size(): number {
    return this.#size;
  }

  async append(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    assert(position === this.#size, 'segment is written elsewhere than at its end');
    await attempt('segment cannot be written', { file: this.#file }, async () => {
      let rest = [...buffers];
      while (rest.length > 0) {
        const { bytesWritten } = await this.#handle.writev(rest, this.#size);
        this.#size += bytesWritten;
        rest = after(rest, bytesWritten);
        if (bytesWritten === 0 && rest.length > 0) throw full(this.#file);
      }
    });
  }

  async sync(): Promise<void> {
    await attempt('segment cannot be synced', { file: this.#file }, () => this.#handle.datasync(), false);
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    return attempt('segment cannot be read', { file: this.#file }, async () => {
      const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await this.#handle.read(bytes, filled, length - filled, position + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return filled === length ? bytes : bytes.subarray(0, filled);
    });
  }

  async truncate(size: number): Promise<void> {
    await attempt('segment cannot be cut', { file: this.#file }, async () => {
      await this.#handle.truncate(size);
      await this.#handle.sync();
      this.#size = size;
    });
  }

  async close(): Promise<void> {
    await attempt('segment cannot be closed', { file: this.#file }, () => this.#handle.close());
  }
}

/** The buffers that are left after `written` bytes of them. */
function after(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  let skip = written;
  for (const [index, buffer] of buffers.entries()) {
    if (skip < buffer.byteLength) return [buffer.subarray(skip), ...buffers.slice(index + 1)];
    skip -= buffer.byteLength;
  }
  return [];
}

function full(file: string): PyralogError {
  return new PyralogError({ code: 'read-only', message: 'disk is full', fields: { file } });
}

const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** Runs `action` and turns what the system says into operating errors. */
async function attempt<T>(
  message: string,
  fields: Record<string, string>,
  action: () => Promise<T>,
  mayBeFull = true,
): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause) || cause instanceof PyralogError) throw cause;
    const code = mayBeFull && typeof cause.code === 'string' && FULL.has(cause.code) ? 'read-only' : 'unavailable';
    throw new PyralogError({ code, message, fields: { ...fields, problem: cause.message }, cause });
  }
}
