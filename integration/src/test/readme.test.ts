import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startCluster } from '../support/cluster.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The TypeScript example of the README: 20 lines or so, without type annotations, so that Node runs it as it stands. */
async function readmeExample(): Promise<string> {
  const readme = await readFile(path.join(ROOT, 'README.md'), 'utf8');
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1];
  assert.ok(example !== undefined, 'the README has no TypeScript example');
  return example;
}

describe("the README's example", () => {
  it('compiles, and does what it says on a real cluster', async (test) => {
    const example = await readmeExample();
    // Inside the workspace, so that `@pyralog/client` is found as a user's package manager would find it.
    const directory = await mkdtemp(path.join(ROOT, 'integration/dist/readme-'));
    test.after(() => rm(directory, { recursive: true, force: true }));
    await writeFile(path.join(directory, 'example.mts'), example);
    await writeFile(path.join(directory, 'example.mjs'), example);
    const compiler = path.join(ROOT, 'node_modules/typescript/bin/tsc');
    const options = [
      '--noEmit',
      '--strict',
      '--target',
      'es2023',
      '--module',
      'nodenext',
      '--types',
      'node',
      '--skipLibCheck',
    ];
    await run(process.execPath, [compiler, '--ignoreConfig', ...options, path.join(directory, 'example.mts')], {
      cwd: ROOT,
    });
    const cluster = await startCluster(test, { storageNodes: 3 });
    const { stdout } = await run(process.execPath, [path.join(directory, 'example.mjs')], {
      env: { ...process.env, PYRALOG_NATS_URL: cluster.natsUrl },
    });
    assert.match(stdout, /^acknowledged: partition \d+, offset 0\nread back: 1001 records\n$/);
  });
});
