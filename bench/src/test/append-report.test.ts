/** The benchmark itself: a second of it on a tiny set-up. What is checked is the report, never how fast anything was. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AppendReport } from '../append/report.ts';
import type { ReadReport } from '../read/report.ts';

const PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url));
const TIMEOUT_MS = 120_000;

async function bench(...words: string[]): Promise<{ exitCode: number; output: string; problem: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let problem = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    problem += text;
  });
  const [exitCode] = (await once(child, 'close')) as [number];
  return { exitCode, output, problem };
}

test('append reports ceiling and pyralog, each complete and consistent', { timeout: TIMEOUT_MS }, async () => {
  const words = ['--record-bytes', '100', '--partitions', '2', '--batch-bytes', '8192', '--rate', '100'];
  const run = await bench('append', ...words, '--seconds', '1', '--rounds', '1', '--peers', 'none', '--json');
  assert.equal(run.exitCode, 0, run.problem);
  const report: AppendReport = JSON.parse(run.output);
  assert.equal(report.benchmark, 'append');
  assert.match(report.machine.natsServer, /^\d+\.\d+\.\d+/);
  assert.ok(report.machine.cores > 0 && report.machine.fileSystem !== 'unknown');
  assert.deepEqual(
    report.cases.map(({ load, recordBytes, partitions }) => ({ load, recordBytes, partitions })),
    [
      { load: 'full', recordBytes: 100, partitions: 2 },
      { load: 'paced', recordBytes: 100, partitions: 2 },
    ],
  );
  for (const each of report.cases) {
    assert.deepEqual(
      each.runs.map(({ system }) => system),
      ['ceiling', 'ceiling-tuned', 'pyralog'],
    );
    assert.ok(each.frameBytes <= 8192 && each.frameBytes > each.recordsPerBatch * each.recordBytes);
    for (const {
      records,
      seconds,
      recordsPerSecond,
      megabytesPerSecond,
      latencyMs,
      cpuSeconds,
      memoryBytes,
    } of each.runs) {
      assert.ok(records > 0 && records % each.recordsPerBatch === 0);
      assert.equal(latencyMs.count, records / each.recordsPerBatch);
      assert.equal(recordsPerSecond, records / seconds);
      assert.ok(Math.abs(megabytesPerSecond - (recordsPerSecond * each.recordBytes) / 1e6) < 1e-6);
      assert.ok(latencyMs.p50 > 0 && latencyMs.p50 <= latencyMs.p99 && latencyMs.p99 <= latencyMs.p999);
      assert.ok(latencyMs.p999 <= latencyMs.max * 1.001);
      assert.ok(memoryBytes.client > 0 && memoryBytes['storage-node'] > 0 && memoryBytes['nats-server'] > 0);
      for (const seconds of Object.values(cpuSeconds)) assert.ok(seconds >= 0);
    }
    const { ceiling, pyralog } = each.recordsPerSecond;
    assert.ok(ceiling !== undefined && pyralog !== undefined);
    assert.equal(each.ratioTo.ceiling, pyralog / ceiling);
  }
});

test('read gets back every record that was written', { timeout: TIMEOUT_MS }, async () => {
  const words = ['--partitions', '2', '--records', '5000', '--batch-bytes', '8192', '--rate', '100'];
  const run = await bench('read', ...words, '--seconds', '1', '--rounds', '1', '--peers', 'none', '--json');
  assert.equal(run.exitCode, 0, run.problem);
  const report: ReadReport = JSON.parse(run.output);
  const [each, ...more] = report.cases;
  assert.ok(each !== undefined && more.length === 0);
  assert.deepEqual(
    each.catchUp.map(({ system, records }) => ({ system, enough: records >= 5000 })),
    [{ system: 'pyralog', enough: true }],
  );
  assert.deepEqual(
    each.tail.map(({ system, latencyMs }) => ({ system, measured: latencyMs.count > 0 })),
    [{ system: 'pyralog', measured: true }],
  );
});

test('an option that cannot be meant is refused by name before anything starts', async () => {
  const run = await bench('append', '--partitions', '0');
  assert.equal(run.exitCode, 2);
  assert.match(run.problem, /--partitions/);
});
