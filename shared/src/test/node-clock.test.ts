/** What the system clock promises beyond the `Clock` port. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../node/index.ts';

test('callbacks deferred together run in order, and promises are continued after the last of them', async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    systemClock.defer(() => {
      void Promise.resolve().then(() => order.push('promise'));
      order.push('first');
      systemClock.defer(() => {
        order.push('deferred by the first');
        resolve();
      });
    });
    systemClock.defer(() => order.push('second'));
  });
  assert.deepEqual(order, ['first', 'second', 'promise', 'deferred by the first']);
});
