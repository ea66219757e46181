import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noticePrinter } from '../notices.ts';

test('a warning is printed once, and again after the node was back', () => {
  const lines: string[] = [];
  const notice = noticePrinter((line) => lines.push(line));
  const missing = { kind: 'copy-missing', partition: 1, nodeId: 'storage-node-1' } as const;
  notice({ ...missing, offset: 1 });
  notice({ ...missing, offset: 2 });
  notice({ kind: 'node-back', nodeId: 'storage-node-1' });
  notice({ ...missing, offset: 3 });
  assert.deepEqual(lines, [
    'warning: storage-node-1 lacks batches of partition 1; other copies are read\n',
    'warning: storage-node-1 answers again\n',
    'warning: storage-node-1 lacks batches of partition 1; other copies are read\n',
  ]);
});
