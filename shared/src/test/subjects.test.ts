import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  LIMITS,
  type PartitionId,
  type SequencerId,
  type StorageNodeId,
  Subjects,
  subjectToken,
} from '@pyralog/shared/core';

const subjects = new Subjects('test');
const partitionId = 7 as PartitionId;
const sequencerId = 'sequencer-1' as SequencerId;
const node = (index: number): StorageNodeId => `node-${index}` as StorageNodeId;

/** Whether NATS delivers `subject` to a subscription of `pattern`. */
function matches(pattern: string, subject: string): boolean {
  const tokens = subject.split('.');
  const wanted = pattern.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    if (index >= tokens.length || (token !== '*' && token !== tokens[index])) return false;
  }
  return tokens.length === wanted.length;
}

test('a store reaches every member of its copyset once and nobody else', () => {
  for (let members = 1; members <= LIMITS.replicationFactorMax; members++) {
    const copyset = Array.from({ length: members }, (_, index) => node(index));
    const subject = subjects.store('ns', partitionId, copyset);
    for (let index = 0; index < members + 2; index++) {
      const patterns = subjects.storesTo(node(index), LIMITS.replicationFactorMax);
      const deliveries = patterns.filter((pattern) => matches(pattern, subject)).length;
      assert.equal(deliveries, index < members ? 1 : 0, `${subject} to node ${index}`);
    }
    assert.ok(matches(subjects.storesOf('ns', partitionId), subject));
    assert.ok(!matches(subjects.storesOf('ns', 8 as PartitionId), subject));
    assert.ok(!matches(subjects.storesOf('other', partitionId), subject));
  }
});

test('what is sent to someone matches what they subscribe to, and not what others do', () => {
  const other = 'sequencer-2' as SequencerId;
  assert.ok(matches(subjects.appendsTo(sequencerId), subjects.append('ns', sequencerId, partitionId)));
  assert.ok(!matches(subjects.appendsTo(other), subjects.append('ns', sequencerId, partitionId)));
  assert.ok(matches(subjects.readsTo(node(1)), subjects.read('ns', node(1))));
  assert.ok(!matches(subjects.readsTo(node(2)), subjects.read('ns', node(1))));
  assert.ok(matches(subjects.admins, subjects.admin('ns')));
  assert.ok(!matches(subjects.admins, subjects.cluster));
  assert.ok(matches(subjects.partitionsOf(sequencerId), subjects.partitions('ns', sequencerId)));
  assert.ok(matches(subjects.heartbeats, subjects.heartbeat('sequencer', sequencerId)));
  assert.ok(subjects.acks(sequencerId).startsWith(subjects.acksPrefix));
});

test('every subject is within its cluster', () => {
  const mine = [
    subjects.append('ns', sequencerId, partitionId),
    subjects.store('ns', partitionId, [node(1)]),
    ...subjects.storesTo(node(1), 2),
    subjects.resend(node(1)),
    subjects.acks(sequencerId),
    subjects.release('ns', partitionId),
    subjects.read('ns', node(1)),
    subjects.admin('ns'),
    subjects.cluster,
    subjects.partitions('ns', sequencerId),
    subjects.topology('ns', 'log.v2'),
    subjects.heartbeat('storage-node', node(1)),
  ];
  for (const subject of mine) assert.ok(subject.startsWith('pyra.test.'), subject);
});

test('the tokens of a subject are found after its prefix', () => {
  const subject = subjects.append('ns', sequencerId, partitionId);
  const tokens = [0, 1, 2, 3, 4].map((index) => subjectToken(subjects.prefix, subject, index));
  assert.deepEqual(tokens, ['append', 'ns', 'sequencer-1', '7', undefined]);
});
