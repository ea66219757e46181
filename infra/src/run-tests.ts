/**
 * `npm test`: finds the compiled tests of all workspaces, makes sure that there is a nats-server for them, and runs
 * them, those of single packages first and side by side, then those that start clusters, one after another.
 *
 * Arguments are parts of paths: only the files that contain one of them are run. `PYRALOG_TEST_CONCURRENCY` bounds how
 * many files run at once.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeError, invalid, type Logger, silentLogger } from '@pyralog/shared/core';
import { z } from 'zod';
import { findNatsServer } from './nats-server/find-nats-server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Workspaces whose tests start whole clusters. */
const CLUSTER_WORKSPACES: readonly string[] = ['integration', 'bench'];
const TEST_SUFFIX = '.test.js';
const FILE_TIMEOUT_MS = 600_000;

const consoleLogger: Logger = {
  ...silentLogger,
  info: (message, fields) => console.error(message, fields === undefined ? '' : JSON.stringify(fields)),
};

process.exitCode = await main(process.argv.slice(2));

async function main(filters: readonly string[]): Promise<number> {
  const files = (await testFiles()).filter(
    (file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
  );
  if (files.length === 0) {
    console.error('no test files');
    return 1;
  }
  const environment = await testEnvironment();
  if (environment === undefined) return 1;
  const isCluster = (file: string): boolean => CLUSTER_WORKSPACES.includes(file.split(path.sep)[0] ?? '');
  const groups = [
    { files: files.filter((file) => !isCluster(file)), concurrency: concurrency() },
    { files: files.filter(isCluster), concurrency: 1 },
  ];
  let exitCode = 0;
  for (const group of groups) {
    if (group.files.length > 0)
      exitCode = Math.max(exitCode, await runFiles(group.files, group.concurrency, environment));
  }
  return exitCode;
}

/** Paths from the root, of tests whose source still exists. */
async function testFiles(): Promise<string[]> {
  const manifest = z
    .object({ workspaces: z.array(z.string()) })
    .parse(JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')));
  const files: string[] = [];
  for (const workspace of manifest.workspaces) {
    const directory = path.join(workspace, 'dist', 'test');
    const names = await readdir(path.join(ROOT, directory), { recursive: true }).catch(() => []);
    for (const name of names.sort()) {
      const source = path.join(ROOT, workspace, 'src', 'test', `${name.slice(0, -'.js'.length)}.ts`);
      if (name.endsWith(TEST_SUFFIX) && existsSync(source)) files.push(path.join(directory, name));
    }
  }
  return files;
}

/** Without a nats-server its tests are skipped by name; in CI that is an error. */
async function testEnvironment(): Promise<NodeJS.ProcessEnv | undefined> {
  try {
    const { path: server } = await findNatsServer({ logger: consoleLogger });
    return { ...process.env, PYRALOG_NATS_SERVER: server };
  } catch (error) {
    console.error(describeError(error));
    return process.env.CI === undefined ? { ...process.env } : undefined;
  }
}

function concurrency(): number {
  const text = process.env.PYRALOG_TEST_CONCURRENCY;
  if (text === undefined || text === '') return availableParallelism();
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw invalid('PYRALOG_TEST_CONCURRENCY', 'concurrency is not a whole number from 1');
  return value;
}

async function runFiles(files: readonly string[], atOnce: number, environment: NodeJS.ProcessEnv): Promise<number> {
  const args = [
    '--test',
    '--test-reporter=spec',
    `--test-concurrency=${atOnce}`,
    `--test-timeout=${FILE_TIMEOUT_MS}`,
    ...files,
  ];
  const child = spawn(process.execPath, args, { cwd: ROOT, env: environment, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}
