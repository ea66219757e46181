import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DemoResult, demoTable, sequencersThatWrote } from '../demo/demo-result.ts';

const result: DemoResult = {
  log: 'demo/flights',
  partitions: 8,
  replicationFactor: 3,
  writeQuorum: 2,
  strategy: 'per-record',
  records: 200_000,
  valueBytes: 9_600_000,
  produceSeconds: 2,
  consumeSeconds: 1,
  firstRecordSeconds: 4.5,
  storageNodes: [
    { id: 'storage-node-1', records: 310_000, bytes: 18_000_000 },
    { id: 'storage-node-2', records: 290_000, bytes: 0 },
  ],
  sequencers: [
    { id: 'sequencer-1', bytesWritten: 0 },
    { id: 'sequencer-2', bytesWritten: 0 },
  ],
};

test('the table shows throughput, the spread of copies, and what sequencers wrote', () => {
  assert.equal(
    demoTable(result),
    `demo/flights: flights of vega-datasets, 8 partitions, RF 3, W 2, per-record

           records   bytes    time    records     bytes
appended   200,000  9.6 MB  2.00 s  100,000/s  4.8 MB/s
read back  200,000  9.6 MB  1.00 s  200,000/s  9.6 MB/s
every record came back once, byte for byte, in order per key
first record read back 4.50 s after the start of the command

storage node    records stored  bytes stored
storage-node-1         310,000       18.0 MB
storage-node-2         290,000           0 B
all copies             600,000       18.0 MB
most / least             1.069             -

sequencer    bytes written to disk
sequencer-1                      0
sequencer-2                      0
`,
  );
});

test('a sequencer that wrote to disk is found; one that cannot be measured is said to be so', () => {
  assert.deepEqual(sequencersThatWrote(result), []);
  const sequencers = [
    { id: 'sequencer-1', bytesWritten: undefined },
    { id: 'sequencer-2', bytesWritten: 4_096 },
  ];
  assert.deepEqual(sequencersThatWrote({ ...result, sequencers }), [{ id: 'sequencer-2', bytesWritten: 4_096 }]);
  assert.match(demoTable({ ...result, sequencers }), /sequencer-1 +not measurable here\nsequencer-2 +4,096\n/);
});
