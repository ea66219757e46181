import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startCluster } from '../support/cluster.ts';
import { torture } from '../torture/torture.ts';

/**
 * The short form; `npm run torture` is the long one. Seed 42 begins by killing a sequencer and then all: an owner that came
 * back without its epoch once was taken to hold it by everybody else, and by itself not, for ever.
 */
it('no history of faults, repeated and delayed messages violates what the log promises', async (test) => {
  const cluster = await startCluster(test, { sequencers: 3 });
  const report = await torture({ cluster, seed: 42, milliseconds: 25_000, onFault: (name) => test.diagnostic(name) });
  test.diagnostic(JSON.stringify(report));
  assert.deepEqual(report.violations, []);
  assert.ok(report.acknowledged > 500);
  assert.ok(report.repeatedMessages > 100, 'messages were repeated');
  assert.ok(report.epochs > 8, 'epochs have changed');
  assert.ok(Object.keys(report.faults).length >= 3, 'faults have happened');
});
