/** `npm run torture -- [--minutes N] [--seed S]`: the long form of the torture; prints figures and the verdict. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startLocalCluster } from '@pyralog/infra';
import { silentLogger } from '@pyralog/shared/core';
import { torture } from './torture/torture.ts';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } } });
const minutes = Number(values.minutes);
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
if (!(minutes > 0 && minutes <= 24 * 60) || !Number.isSafeInteger(seed)) {
  process.stderr.write('usage: npm run torture -- [--minutes N] [--seed S], with N up to 1440 and a whole S\n');
  process.exit(2);
}
const directory = await mkdtemp(path.join(tmpdir(), 'pyralog-torture-'));
process.stdout.write(`seed ${seed}, ${minutes} minutes, logs in ${directory}\n`);
const cluster = await startLocalCluster({ directory, storageNodes: 4, sequencers: 3, logger: silentLogger });
let sound = false;
try {
  const report = await torture({
    cluster,
    seed,
    milliseconds: minutes * 60_000,
    onFault: (name) => process.stdout.write(`${new Date().toISOString()} ${name}\n`),
  });
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  sound = report.violations.length === 0;
  process.stdout.write(sound ? 'verdict: the history is sound\n' : 'verdict: the history is violated\n');
} finally {
  await cluster.stop();
  if (sound) await rm(directory, { recursive: true, force: true });
}
process.exit(sound ? 0 : 1);
