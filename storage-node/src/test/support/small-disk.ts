/**
 * A file system small enough to be filled: a tmpfs of our own where this process may mount one, or else `/dev/shm` where
 * that is as small as containers have it. Where there is neither the tests are skipped by name, except in CI, where they
 * fail.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

const MIB = 1024 * 1024;
const SHARED = '/dev/shm';
const SHARED_BYTES_MAX = 256 * MIB;

export class SmallDisk {
  readonly directory: string;
  readonly #ballast: string;
  readonly #dispose: () => Promise<void>;

  private constructor(directory: string, dispose: () => Promise<void>) {
    this.directory = directory;
    this.#ballast = path.join(directory, 'ballast');
    this.#dispose = dispose;
  }

  /** `undefined` after the test was marked as skipped. */
  static async make(context: TestContext): Promise<SmallDisk | undefined> {
    const disk = (await SmallDisk.#mounted()) ?? (await SmallDisk.#shared());
    if (disk !== undefined) return disk;
    if (process.env.CI !== undefined)
      throw new Error('no small file system: neither can one be mounted nor is /dev/shm one');
    context.skip('no small file system: neither can one be mounted nor is /dev/shm one');
    return undefined;
  }

  static async #mounted(): Promise<SmallDisk | undefined> {
    const directory = await mkdtemp(path.join(tmpdir(), 'pyralog-small-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', directory], { stdio: 'ignore' });
    } catch {
      await rm(directory, { recursive: true });
      return undefined;
    }
    return new SmallDisk(directory, async () => {
      execFileSync('umount', ['-l', directory]);
      await rm(directory, { recursive: true });
    });
  }

  static async #shared(): Promise<SmallDisk | undefined> {
    const { blocks, bsize } = await statfs(SHARED).catch(() => ({ blocks: 0, bsize: 0 }));
    if (blocks === 0 || blocks * bsize > SHARED_BYTES_MAX) return undefined;
    const directory = await mkdtemp(path.join(SHARED, 'pyralog-small-'));
    return new SmallDisk(directory, () => rm(directory, { recursive: true, force: true }));
  }

  /** Leaves this much room, to the page. */
  async fill(leaveBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.directory);
    const ballast = await open(this.#ballast, 'w');
    const chunk = new Uint8Array(MIB);
    for (let rest = bavail * bsize - leaveBytes; rest > 0; rest -= chunk.byteLength) {
      await ballast.write(chunk, 0, Math.min(rest, chunk.byteLength));
    }
    await ballast.close();
  }

  /** There is room again. */
  async release(): Promise<void> {
    await rm(this.#ballast, { force: true });
  }

  async dispose(): Promise<void> {
    await this.#dispose();
  }
}
