import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatCount, formatTable, perSecond } from '../table.ts';

test('columns are as wide as their widest cell', () => {
  const table = formatTable(
    [{ title: 'node' }, { title: 'records', align: 'right' }],
    [
      ['storage-node-1', '7'],
      ['x', '12,345,678'],
    ],
  );
  assert.equal(table, 'node               records\nstorage-node-1           7\nx               12,345,678\n');
});

test('bytes are shown with one digit in the unit that keeps them below 1000', () => {
  assert.deepEqual([0, 999, 1_000, 999_949, 999_950, 8_600_000, 2.5e12].map(formatBytes), [
    '0 B',
    '999 B',
    '1.0 kB',
    '999.9 kB',
    '1.0 MB',
    '8.6 MB',
    '2.5 TB',
  ]);
});

test('counts have separators, and a rate over no time is 0', () => {
  assert.equal(formatCount(1_234_567.4), '1,234,567');
  assert.equal(perSecond(5, 0), 0);
});
