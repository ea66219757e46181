/**
 * The release of the NATS project on GitHub. Version and checksums are pinned: they are those of the official images,
 * github.com/nats-io/nats-docker, commit aa0caa57b71c01566a100b47b2ed94de6ef6cf80, 2.12.x/alpine3.22/Dockerfile.
 */
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { fileOfTar } from './archive.ts';
import { fetchIntoCache } from './cache.ts';
import type { NatsServerSource } from './source.ts';

export const RELEASE_VERSION = '2.12.15';

export interface Release {
  readonly version: string;
  /** Of the directory that holds `v<version>/<archive>`. */
  readonly url: string;
  /** SHA-256 of the archive for each platform. */
  readonly checksums: Readonly<Record<string, string>>;
}

const RELEASE: Release = {
  version: RELEASE_VERSION,
  url: 'https://github.com/nats-io/nats-server/releases/download',
  checksums: {
    'linux-amd64': '58ab8131f819263897e2fc38e503e1b755b63bcafeecc7d12582487df48ca15e',
    'linux-arm64': 'b724db99fefbf8f5c808baa82819ee50350aee9734017e4a478f7e545cef3ab6',
  },
};

const ANSWER_TIMEOUT_MS = 5_000;
const DOWNLOAD_TIMEOUT_MS = 90_000;
const ARCHIVE_BYTES_MAX = 64 * 1024 * 1024;
const UNPACKED_BYTES_MAX = 256 * 1024 * 1024;
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: 'amd64', arm64: 'arm64' };

export function releaseSource(release: Release = RELEASE): NatsServerSource {
  return {
    name: 'release download',
    find: (context) =>
      fetchIntoCache(context, 'release download', async () => {
        const platform = `${process.platform}-${ARCHITECTURES[process.arch] ?? process.arch}`;
        const expected = release.checksums[platform];
        if (expected === undefined) throw new Error(`no release is pinned for ${platform}`);
        const name = `nats-server-v${release.version}-${platform}`;
        const archive = await download(`${release.url}/v${release.version}/${name}.tar.gz`);
        const actual = createHash('sha256').update(archive).digest('hex');
        if (actual !== expected) throw new Error(`checksum of ${name} is ${actual}, not ${expected}`);
        return fileOfTar(gunzipSync(archive, { maxOutputLength: UNPACKED_BYTES_MAX }), `${name}/nats-server`);
      }),
  };
}

/** Gives up quickly when nobody answers, and later when the bytes do not come. */
async function download(url: string): Promise<Buffer> {
  const aborter = new AbortController();
  let timer = setTimeout(() => aborter.abort(new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms`)), ANSWER_TIMEOUT_MS);
  try {
    const response = await fetch(url, { signal: aborter.signal });
    clearTimeout(timer);
    if (!response.ok || response.body === null) throw new Error(`answer is ${response.status}`);
    timer = setTimeout(
      () => aborter.abort(new Error(`not complete within ${DOWNLOAD_TIMEOUT_MS} ms`)),
      DOWNLOAD_TIMEOUT_MS,
    );
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body) {
      length += chunk.byteLength;
      if (length > ARCHIVE_BYTES_MAX) throw new Error(`archive is larger than ${ARCHIVE_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new Error(`${url}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
