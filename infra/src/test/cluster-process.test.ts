/** Starting, watching and stopping one process, and what becomes of processes whose starter is gone. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { type LogFields, type Logger, PyralogError, silentLogger } from '@pyralog/shared/core';
import { ClusterProcess } from '../cluster-process.ts';
import { processWriteBytes } from '../proc-io.ts';
import { Reaper } from '../reaper.ts';
import { eventually, isRunning, temporaryDirectory } from './temporary-directory.ts';

async function processOf(
  context: TestContext,
  program: string,
  logger: Logger = silentLogger,
): Promise<ClusterProcess> {
  const directory = await temporaryDirectory(context);
  const subject = new ClusterProcess({
    role: 'storage-node',
    id: 'storage-node-1',
    command: process.execPath,
    args: ['-e', program],
    cwd: directory,
    environment: {},
    logFile: path.join(directory, 'it.log'),
    logger,
    ready: { line: (line) => line === 'ready' },
    stopWithinMs: 1_000,
  });
  context.after(() => {
    subject.kill('SIGKILL');
    return subject.exited;
  });
  return subject;
}

const STAYS = `console.log('ready'); console.error('on stderr'); setInterval(() => {}, 1000);`;

test('a process is started, is ready, and stops at SIGTERM; its output is in its log file', async (context) => {
  const subject = await processOf(context, STAYS);
  await subject.start();
  assert.ok(subject.running && isRunning(subject.pid));
  await assert.rejects(subject.start(), PyralogError);
  await subject.stop();
  assert.deepEqual(await subject.exited, { code: undefined, signal: 'SIGTERM' });
  assert.equal(subject.running, false);
  await eventually('the log', async () => (await readFile(subject.logFile, 'utf8')).includes('on stderr'));
  assert.match(await readFile(subject.logFile, 'utf8'), /^ready$/m);
});

test('a stopped process starts again with another pid and adds to the same log file', async (context) => {
  const subject = await processOf(context, STAYS);
  await subject.start();
  const first = subject.pid;
  subject.kill('SIGKILL');
  assert.equal((await subject.exited).signal, 'SIGKILL');
  await subject.start();
  assert.notEqual(subject.pid, first);
  await subject.stop();
  await eventually(
    'both runs in the log',
    async () => (await readFile(subject.logFile, 'utf8')).split('ready').length === 3,
  );
});

test('a process that ends before it is ready is an error with its last words', async (context) => {
  const subject = await processOf(context, `console.error('disk is missing'); process.exitCode = 3;`);
  await assert.rejects(subject.start(), (error: unknown) => {
    assert.ok(error instanceof PyralogError);
    assert.equal(error.code, 'unavailable');
    assert.deepEqual(error.fields.lastLines, ['disk is missing']);
    assert.equal(error.fields.id, 'storage-node-1');
    return true;
  });
  assert.equal(subject.running, false);
});

test('a program that does not exist is an error, not a hang', async (context) => {
  const directory = await temporaryDirectory(context);
  const subject = new ClusterProcess({
    role: 'sequencer',
    id: 'sequencer-1',
    command: path.join(directory, 'absent'),
    args: [],
    cwd: directory,
    environment: {},
    logFile: path.join(directory, 'it.log'),
    logger: silentLogger,
    ready: { line: () => true },
  });
  await assert.rejects(subject.start(), PyralogError);
});

test('a stopped (SIGSTOP) process is stopped all the same', async (context) => {
  const subject = await processOf(context, STAYS);
  await subject.start();
  subject.kill('SIGSTOP');
  await subject.stop();
  assert.equal(subject.running, false);
});

test('a process that ignores SIGTERM is killed after a while, and the log says so', {
  timeout: 60_000,
}, async (context) => {
  const warnings: LogFields[] = [];
  const logger: Logger = { ...silentLogger, warn: (message, fields) => warnings.push({ message, ...fields }) };
  const subject = await processOf(context, `process.on('SIGTERM', () => {}); ${STAYS}`, logger);
  await subject.start();
  await subject.stop();
  assert.deepEqual(await subject.exited, { code: undefined, signal: 'SIGKILL' });
  assert.deepEqual(
    warnings.map(({ id }) => id),
    ['storage-node-1'],
  );
});

test('what a process writes to disk is counted, and printing is not writing', {
  skip: process.platform !== 'linux',
}, async (context) => {
  const prints = await processOf(context, `${STAYS} for (let i = 0; i < 1000; i++) console.log('x'.repeat(1000));`);
  await prints.start();
  assert.equal(await processWriteBytes(prints.pid), 0);
  await prints.stop();
  await assert.rejects(processWriteBytes(prints.pid), PyralogError);
  const writes = await processOf(
    context,
    `const fs = require('fs'); const f = fs.openSync('data', 'w'); fs.writeSync(f, Buffer.alloc(1 << 20)); fs.fsyncSync(f); ${STAYS}`,
  );
  await writes.start();
  const bytes = await processWriteBytes(writes.pid);
  assert.ok(bytes === 0 || bytes >= 1 << 20, 'tmpfs counts nothing, a disk everything');
});

/** A process that starts `program` with the hook, prints its pid when that is ready, and then waits. */
async function starterOf(
  context: TestContext,
  program: string,
): Promise<{ starter: ReturnType<typeof spawn>; pid: number }> {
  const directory = await temporaryDirectory(context);
  const service = path.join(directory, 'service.mjs');
  await writeFile(service, program);
  const hook = new URL('../exit-with-parent.js', import.meta.url).href;
  const source = `
    const { spawn } = await import('node:child_process');
    const child = spawn(process.execPath, ['--import', ${JSON.stringify(hook)}, ${JSON.stringify(service)}],
      { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    child.stdout.once('data', () => console.log(child.pid));
  `;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  context.after(() => starter.kill('SIGKILL'));
  const [line] = (await once(starter.stdout, 'data')) as [Buffer];
  return { starter, pid: Number(line.toString()) };
}

test('a service is stopped as by SIGTERM when its starter is killed', async (context) => {
  const directory = await temporaryDirectory(context);
  const witness = path.join(directory, 'witness');
  const { starter, pid } = await starterOf(
    context,
    `import { writeFileSync } from 'node:fs';
     process.on('SIGTERM', () => { writeFileSync(${JSON.stringify(witness)}, 'stopped'); process.exit(0); });
     console.log('ready');
     setInterval(() => {}, 1000);`,
  );
  assert.ok(isRunning(pid));
  starter.kill('SIGKILL');
  await eventually(
    'the service has stopped cleanly',
    async () => (await readFile(witness, 'utf8').catch(() => '')) === 'stopped',
  );
});

test('the hook does not keep a service alive that has nothing left to do', async (context) => {
  const { pid } = await starterOf(context, `console.log('ready');`);
  await eventually('the service has ended', async () =>
    (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ' Z ')).includes(' Z '),
  );
});

test('a server whose starter is gone is stopped after the services have ended', async (context) => {
  const server = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const service = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  context.after(() => {
    server.kill('SIGKILL');
    service.kill('SIGKILL');
  });
  const ended: string[] = [];
  const serverEnd = once(server, 'exit').then(() => ended.push('server'));
  const serviceEnd = once(service, 'exit').then(() => ended.push('service'));
  const reaperModule = new URL('../reaper.js', import.meta.url).href;
  const source = `
    const { Reaper } = await import(${JSON.stringify(reaperModule)});
    const reaper = new Reaper(${server.pid});
    reaper.letFinish(${service.pid});
    console.log('ready');
    setInterval(() => {}, 1000);
  `;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(starter.stdout, 'data');
  starter.kill('SIGKILL');
  await once(starter, 'exit');
  service.kill('SIGTERM');
  await Promise.all([serverEnd, serviceEnd]);
  assert.deepEqual(ended, ['service', 'server']);
});

test('a dismissed reaper harms nobody', async (context) => {
  const server = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  context.after(() => server.kill('SIGKILL'));
  const reaper = new Reaper(server.pid ?? 0);
  reaper.dismiss();
  assert.ok(isRunning(server.pid ?? 0));
});
