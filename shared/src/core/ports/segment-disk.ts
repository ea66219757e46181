/** The files of a storage node's segments. Numbers name them; a file is written at its end only. */
export interface SegmentFile {
  readonly segmentId: number;
  /** Bytes in the file. */
  readonly size: number;
  /**
   * Writes all of `buffers` at `position`, which is the file's size.
   * @throws PyralogError `read-only` when the disk is full (some bytes may have been written: truncate before going
   *   on), `unavailable` for any other failure, after which the file must not be used.
   */
  append(position: number, buffers: readonly Uint8Array[]): Promise<void>;
  /** Makes everything written durable. @throws PyralogError `unavailable`: what was written since is not durable, ever. */
  sync(): Promise<void>;
  /** Reads `length` bytes, fewer at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** Cuts the file to `size` bytes and makes that durable. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

export interface SegmentDisk {
  /** Ids of the segments there are, ascending. */
  list(): Promise<number[]>;
  /** Creates an empty segment and makes its directory entry durable. */
  create(segmentId: number): Promise<SegmentFile>;
  open(segmentId: number): Promise<SegmentFile>;
  /** Removes a segment and makes that durable. */
  remove(segmentId: number): Promise<void>;
  /** Remembers, durably, that something which was stored here is lost. */
  noteLoss(): Promise<void>;
  /** Whether a loss was ever noted. */
  hasLost(): Promise<boolean>;
  /** Bytes free for more segments. */
  freeBytes(): Promise<number>;
}
