/**
 * The `SegmentDisk` port in memory, with what disks do: it may be full, fail a write or a sync, keep a sync waiting, and
 * after a crash show the last bytes or not.
 */
import { PyralogError, type SegmentDisk, type SegmentFile } from '@pyralog/shared/core';

interface StoredFile {
  content: Uint8Array;
  size: number;
  /** Bytes that a power cut leaves. */
  syncedBytes: number;
  /** A sync failed: the page cache takes for written what is not, and no later sync changes that. */
  frozen: boolean;
}

export class MemoryDisk implements SegmentDisk {
  readonly files = new Map<number, StoredFile>();
  capacityBytes = Number.MAX_SAFE_INTEGER;
  /** Answers `freeBytes` instead of what the capacity leaves. */
  reportedFreeBytes: number | undefined;
  failSync = false;
  failAppend = false;
  lost = false;
  appends = 0;
  syncs = 0;
  #hold: Promise<void> | undefined;
  #release: () => void = () => undefined;
  #syncsBeforeHold = 0;
  #waiting = 0;

  list(): Promise<number[]> {
    return Promise.resolve([...this.files.keys()].sort((a, b) => a - b));
  }

  create(segmentId: number): Promise<SegmentFile> {
    if (this.files.has(segmentId)) return Promise.reject(failure('segment exists'));
    const stored: StoredFile = { content: new Uint8Array(4096), size: 0, syncedBytes: 0, frozen: false };
    this.files.set(segmentId, stored);
    return Promise.resolve(new MemorySegment(this, segmentId, stored));
  }

  open(segmentId: number): Promise<SegmentFile> {
    const stored = this.files.get(segmentId);
    return stored === undefined
      ? Promise.reject(failure('segment is missing'))
      : Promise.resolve(new MemorySegment(this, segmentId, stored));
  }

  remove(segmentId: number): Promise<void> {
    return this.files.delete(segmentId) ? Promise.resolve() : Promise.reject(failure('segment is missing'));
  }

  noteLoss(): Promise<void> {
    this.lost = true;
    return Promise.resolve();
  }

  hasLost(): Promise<boolean> {
    return Promise.resolve(this.lost);
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(this.reportedFreeBytes ?? this.capacityBytes - this.usedBytes);
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const { size } of this.files.values()) bytes += size;
    return bytes;
  }

  /** Syncs wait from now on, or after some more, until `release`. */
  hold(afterSyncs = 0): void {
    this.#syncsBeforeHold = afterSyncs;
    this.#hold = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  release(): void {
    this.#hold = undefined;
    this.#release();
  }

  /** Syncs that wait. */
  get waitingSyncs(): number {
    return this.#waiting;
  }

  async passHold(): Promise<void> {
    if (this.#hold === undefined || this.#syncsBeforeHold-- > 0) return;
    this.#waiting++;
    await this.#hold;
    this.#waiting--;
  }

  content(segmentId: number): Uint8Array {
    const stored = this.files.get(segmentId);
    if (stored === undefined) throw new Error(`segment ${segmentId} is missing`);
    return stored.content.slice(0, stored.size);
  }

  setContent(segmentId: number, content: Uint8Array): void {
    const { byteLength } = content;
    this.files.set(segmentId, { content: content.slice(), size: byteLength, syncedBytes: byteLength, frozen: false });
  }

  /**
   * The disk as the next process finds it. After a killed process everything that was written is there, though not
   * proof against a power cut; after a power cut what was synced is, and of the rest whatever `tear` makes of it.
   */
  afterCrash(kind: 'process' | 'power' = 'process', tear: (unsynced: Uint8Array) => Uint8Array = nothing): MemoryDisk {
    const next = new MemoryDisk();
    next.lost = this.lost;
    for (const [segmentId, { content, size, syncedBytes, frozen }] of this.files) {
      if (kind === 'process') {
        next.files.set(segmentId, { content: content.slice(), size, syncedBytes, frozen });
        continue;
      }
      const rest = tear(content.slice(syncedBytes, size));
      next.setContent(segmentId, Uint8Array.from([...content.subarray(0, syncedBytes), ...rest]));
    }
    return next;
  }
}

const nothing = (): Uint8Array => new Uint8Array(0);

class MemorySegment implements SegmentFile {
  readonly segmentId: number;
  readonly #disk: MemoryDisk;
  readonly #stored: StoredFile;

  constructor(disk: MemoryDisk, segmentId: number, stored: StoredFile) {
    this.#disk = disk;
    this.segmentId = segmentId;
    this.#stored = stored;
  }

  get size(): number {
    return this.#stored.size;
  }

  append(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    const disk = this.#disk;
    const stored = this.#stored;
    if (position !== stored.size) throw new Error('segment is written elsewhere than at its end');
    disk.appends++;
    if (disk.failAppend) return Promise.reject(failure('segment cannot be written'));
    for (const buffer of buffers) {
      const room = Math.max(0, disk.capacityBytes - disk.usedBytes);
      const written = buffer.subarray(0, room);
      this.#reserve(stored.size + written.byteLength);
      stored.content.set(written, stored.size);
      stored.size += written.byteLength;
      if (written.byteLength < buffer.byteLength) {
        return Promise.reject(new PyralogError({ code: 'read-only', message: 'disk is full' }));
      }
    }
    return Promise.resolve();
  }

  #reserve(size: number): void {
    const stored = this.#stored;
    if (size <= stored.content.byteLength) return;
    const grown = new Uint8Array(Math.max(size, 2 * stored.content.byteLength));
    grown.set(stored.content);
    stored.content = grown;
  }

  async sync(): Promise<void> {
    this.#disk.syncs++;
    await this.#disk.passHold();
    if (this.#disk.failSync) {
      this.#stored.frozen = true;
      throw failure('segment cannot be synced');
    }
    if (!this.#stored.frozen) this.#stored.syncedBytes = this.#stored.size;
  }

  read(position: number, length: number): Promise<Uint8Array> {
    return Promise.resolve(this.#stored.content.slice(position, Math.min(position + length, this.#stored.size)));
  }

  truncate(size: number): Promise<void> {
    this.#stored.size = size;
    this.#stored.syncedBytes = Math.min(this.#stored.syncedBytes, size);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function failure(message: string): PyralogError {
  return new PyralogError({ code: 'unavailable', message });
}
