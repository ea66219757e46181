/** The order in which a nats-server is looked for, with fake servers; nothing is fetched from outside. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { PyralogError, silentLogger } from '@pyralog/shared/core';
import { cacheSource } from '../nats-server/cache.ts';
import { findNatsServer } from '../nats-server/find-nats-server.ts';
import { pathSource } from '../nats-server/path.ts';
import { type Release, releaseSource } from '../nats-server/release.ts';
import type { NatsServerSource } from '../nats-server/source.ts';
import { tarOf } from './fake-archives.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const saying = (words: string): string => `#!/bin/sh\necho "${words}"\n`;
const serverOf = (version: string): string => saying(`nats-server: v${version}`);

async function install(directory: string, script: string, mode = 0o755): Promise<string> {
  await mkdir(directory, { recursive: true });
  const file = path.join(directory, 'nats-server');
  await writeFile(file, script, { mode });
  return file;
}

interface Places {
  readonly root: string;
  /** Looks with these directories as `PATH`, in the cache, and then in `more`. */
  find(
    directories: readonly string[],
    more?: readonly NatsServerSource[],
    chosen?: string,
  ): ReturnType<typeof findNatsServer>;
}

async function places(context: TestContext): Promise<Places> {
  const root = await temporaryDirectory(context);
  return {
    root,
    find: (directories, more = [], chosen) =>
      findNatsServer({
        logger: silentLogger,
        environment: {
          PATH: directories.map((name) => path.join(root, name)).join(path.delimiter),
          XDG_CACHE_HOME: path.join(root, 'cache'),
          PYRALOG_NATS_SERVER: chosen,
        },
        sources: [pathSource, cacheSource, ...more],
      }),
  };
}

test('the variable comes first, whatever else there is', async (context) => {
  const { root, find } = await places(context);
  await install(path.join(root, 'bin'), serverOf('2.12.0'));
  const chosen = await install(path.join(root, 'chosen'), serverOf('2.9.1'));
  assert.deepEqual(await find(['bin'], [], chosen), { path: chosen, version: '2.9.1', source: 'PYRALOG_NATS_SERVER' });
});

test('a variable that names no nats-server is an error, not a reason to look further', async (context) => {
  const { root, find } = await places(context);
  await install(path.join(root, 'bin'), serverOf('2.12.0'));
  const other = await install(path.join(root, 'other'), saying('something else'));
  for (const chosen of [other, path.join(root, 'absent')]) {
    await assert.rejects(find(['bin'], [], chosen), (error: unknown) => {
      assert.ok(error instanceof PyralogError);
      assert.deepEqual([error.code, error.fields.field, error.fields.path], ['invalid', 'PYRALOG_NATS_SERVER', chosen]);
      return true;
    });
  }
});

test('PATH is searched in its order, past what is no server, cannot be run, or is too old', async (context) => {
  const { root, find } = await places(context);
  await install(path.join(root, 'a'), saying('something else'));
  await install(path.join(root, 'b'), serverOf('2.12.0'), 0o644);
  await install(path.join(root, 'c'), serverOf('2.8.4'));
  await install(path.join(root, 'd'), '#!/bin/sh\nexit 3\n');
  await install(path.join(root, 'e'), serverOf('2.9.5'));
  const newer = await install(path.join(root, 'f'), serverOf('2.10.0'));
  await install(path.join(root, 'g'), serverOf('2.12.0'));
  const found = await find(['absent', 'a', 'b', 'c', 'd', 'e', 'f', 'g']);
  assert.deepEqual(found, { path: newer, version: '2.10.0', source: 'PATH' });
});

test('an older server of PATH is taken only when nothing newer is found', async (context) => {
  const { root, find } = await places(context);
  const older = await install(path.join(root, 'bin'), serverOf('2.9.10'));
  assert.deepEqual(await find(['bin']), { path: older, version: '2.9.10', source: 'PATH' });
  const cached = await install(path.join(root, 'cache', 'pyralog', 'nats-server', '2.11.0'), serverOf('2.11.0'));
  assert.deepEqual(await find(['bin']), { path: cached, version: '2.11.0', source: 'cache' });
});

test('the newest server of the cache that runs is taken', async (context) => {
  const { root, find } = await places(context);
  const cache = path.join(root, 'cache', 'pyralog', 'nats-server');
  await install(path.join(cache, '2.9.10'), serverOf('2.9.10'));
  const best = await install(path.join(cache, '2.10.2'), serverOf('2.10.2'));
  await install(path.join(cache, '2.12.0'), 'damaged');
  await install(path.join(cache, '.fetching-x'), serverOf('2.13.0'));
  assert.equal((await find([])).path, best);
});

test('when nothing is found the error names everything that was tried, with its reason', async (context) => {
  const { find } = await places(context);
  const broken: NatsServerSource = { name: 'moon', find: () => Promise.reject(new Error('too far')) };
  await assert.rejects(find(['bin'], [broken]), (error: unknown) => {
    assert.ok(error instanceof PyralogError);
    assert.equal(error.code, 'unavailable');
    const tried = error.fields.tried;
    assert.ok(Array.isArray(tried));
    assert.deepEqual(
      tried.map((line) => line.split(':')[0]),
      ['PYRALOG_NATS_SERVER', 'PATH', 'cache', 'moon'],
    );
    assert.equal(tried.at(-1), 'moon: too far');
    return true;
  });
});

/** Serves `archive` as the release 9.9.9 of this platform. */
async function serveRelease(
  context: TestContext,
  archive: Buffer,
  checksum?: string,
): Promise<{ release: Release; requests: string[] }> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    response.end(archive);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const sha256 = checksum ?? createHash('sha256').update(archive).digest('hex');
  const platforms = ['linux-amd64', 'linux-arm64', 'darwin-amd64', 'darwin-arm64'];
  const checksums = Object.fromEntries(platforms.map((platform) => [platform, sha256]));
  return { release: { version: '9.9.9', url: `http://127.0.0.1:${port}`, checksums }, requests };
}

function releaseArchive(script: string): Buffer {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const name = `nats-server-v9.9.9-${process.platform}-${architecture}`;
  return gzipSync(tarOf({ [`${name}/`]: '', [`${name}/LICENSE`]: 'free', [`${name}/nats-server`]: script }));
}

test('a release is downloaded once, checked, run, and found in the cache from then on', async (context) => {
  const { root, find } = await places(context);
  const { release, requests } = await serveRelease(context, releaseArchive(serverOf('9.9.9')));
  const found = await find([], [releaseSource(release)]);
  assert.deepEqual([found.version, found.source], ['9.9.9', 'release download']);
  assert.ok(found.path.startsWith(path.join(root, 'cache')));
  assert.equal((await find([], [releaseSource(release)])).source, 'cache');
  assert.equal(requests.length, 1);
  assert.deepEqual(await readdir(path.join(root, 'cache', 'pyralog', 'nats-server')), ['9.9.9']);
});

test('a release whose checksum differs is refused before it is unpacked', async (context) => {
  const { root, find } = await places(context);
  const { release } = await serveRelease(context, releaseArchive(serverOf('9.9.9')), '0'.repeat(64));
  await assert.rejects(find([], [releaseSource(release)]), (error: unknown) => {
    assert.match(String((error as PyralogError).fields.tried), /checksum/);
    return true;
  });
  assert.deepEqual(await readdir(path.join(root, 'cache', 'pyralog', 'nats-server')), []);
});

test('a release that does not run is not kept', async (context) => {
  const { root, find } = await places(context);
  const { release } = await serveRelease(context, releaseArchive('#!/bin/sh\nexit 1\n'));
  await assert.rejects(find([], [releaseSource(release)]), PyralogError);
  assert.deepEqual(await readdir(path.join(root, 'cache', 'pyralog', 'nats-server')), []);
});

test('many that fetch into one cache at once all get the whole server', async (context) => {
  const { root, find } = await places(context);
  const { release } = await serveRelease(context, releaseArchive(serverOf('9.9.9')));
  const found = await Promise.all(Array.from({ length: 8 }, () => find([], [releaseSource(release)])));
  assert.equal(new Set(found.map((each) => each.path)).size, 1);
  assert.deepEqual(await readdir(path.join(root, 'cache', 'pyralog', 'nats-server')), ['9.9.9']);
});
