/** Real processes on a real nats-server: what survives kill -9, full disks and NATS outages, and what refuses to start. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  Buckets,
  CLUSTER_KEYS,
  checkFrame,
  decodeMessage,
  decodeMetadata,
  decodeReadMessage,
  decodeReply,
  decodeStoreAcks,
  encodeMessage,
  encodeMetadata,
  heartbeatSchema,
  LIMITS,
  nodeSchema,
  type PartitionId,
  readEndSchema,
  type SequencerId,
  type StorageNodeHeartbeat,
  type StorageNodeId,
  Subjects,
  silentLogger,
} from '@pyralog/shared/core';
import { connectNats, NatsMetadataStore, type NatsTransport, nativeCrc32 } from '@pyralog/shared/node';
import { type BatchFields, batch } from './support/frames.ts';
import { eventually, natsServerSkip, TestNatsServer } from './support/nats-server.ts';
import { NodeProcess } from './support/node-process.ts';
import { SmallDisk } from './support/small-disk.ts';

const NODE = 'n1' as StorageNodeId;
const CLUSTER = 'test';
const SUBJECTS = new Subjects(CLUSTER);
const SEQUENCER = 's1' as SequencerId;

describe('a storage node process', { skip: natsServerSkip }, () => {
  let root = '';
  let nats: TestNatsServer;
  let client: NatsTransport;
  let metadata: NatsMetadataStore;
  const acked = new Map<number, string>();
  const heartbeats: StorageNodeHeartbeat[] = [];

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'pyralog-node-'));
    nats = await TestNatsServer.start();
    client = await connectNats({ url: nats.url, name: 'test', logger: silentLogger });
    metadata = new NatsMetadataStore(client.connection, silentLogger);
    const { cluster } = new Buckets(CLUSTER);
    await metadata.openBucket(cluster, { replicas: 1 });
    await metadata.compareAndSet(cluster, CLUSTER_KEYS.log({ namespace: 'ns', name: 'log' }), 0, encodeMetadata(LOG));
    client.subscribe(SUBJECTS.acks(SEQUENCER), (message) => {
      for (const ack of decodeStoreAcks(message.payload).acks) acked.set(ack.baseOffset, ack.verdict);
    });
    client.subscribe(SUBJECTS.heartbeats, (message) => {
      const heartbeat = decodeMessage(heartbeatSchema, message.payload);
      if (heartbeat.role === 'storage-node') heartbeats.push(heartbeat);
    });
    await client.flush();
  });
  after(async () => {
    await client.close();
    await nats.dispose();
    await rm(root, { recursive: true, force: true });
  });

  const environment = (dataDirectory: string, more: Record<string, string> = {}): Record<string, string> => ({
    PYRALOG_NATS_URL: nats.url,
    PYRALOG_CLUSTER: CLUSTER,
    PYRALOG_ID: NODE,
    PYRALOG_DATA_DIR: dataDirectory,
    ...more,
  });
  const newDirectory = (): Promise<string> => mkdtemp(path.join(root, 'data-'));

  function store(fields: BatchFields, to: 'copyset' | 'resend' = 'copyset'): void {
    const ids = ['n0', NODE, 'n2'] as StorageNodeId[];
    const subject = to === 'copyset' ? SUBJECTS.store('ns', 1 as PartitionId, ids) : SUBJECTS.resend(NODE);
    client.publish(subject, batch(fields), SUBJECTS.acks(SEQUENCER));
  }

  async function read(from = 0): Promise<number[]> {
    const slots = [{ nodeId: NODE }];
    const placement = { strategy: 'per-record', seed: 1, scatterWidth: 1, replicationFactor: 1, slots };
    const request = {
      partitionId: 1,
      epoch: 1,
      from,
      until: 1_000_000_000,
      placement,
      exclude: [],
      credit: LIMITS.readCreditBytesMax,
    };
    const inbox = client.createInbox();
    const offsets: number[] = [];
    let end: Uint8Array | undefined;
    const registration = client.subscribe(inbox, (message) => {
      const part = decodeReadMessage(message.payload);
      if (part.kind === 'end') end = part.bytes;
      else offsets.push(...baseOffsets(part.bytes));
    });
    client.publish(SUBJECTS.read('ns', NODE), encodeMessage(request), inbox);
    await eventually('read ends', () => end !== undefined);
    registration.cancel();
    const { next } = decodeReply(readEndSchema, end ?? new Uint8Array(0));
    return next === request.until ? offsets : [...offsets, ...(await read(next))];
  }

  /** Reads once the node knows the log: it follows the metadata, and may be behind for a moment. */
  async function readWhenKnown(): Promise<number[]> {
    let offsets: number[] | undefined;
    await eventually('the node knows the log', async () => {
      offsets = await read().catch(() => undefined);
      return offsets !== undefined;
    });
    return offsets ?? [];
  }

  test('stores what comes by either way, acknowledges it, serves it, says that it lives, and registers', async () => {
    acked.clear();
    heartbeats.length = 0;
    const directory = await newDirectory();
    const node = await NodeProcess.ready(environment(directory, { PYRALOG_ZONE: 'z1' }));
    store({ baseOffset: 0, recordCount: 3 });
    store({ baseOffset: 3 }, 'resend');
    await eventually('both are acknowledged', () => acked.size === 2);
    assert.deepEqual(
      [...acked],
      [
        [0, 'stored'],
        [3, 'stored'],
      ],
    );
    assert.deepEqual(await readWhenKnown(), [0, 3]);
    await eventually('a heartbeat counts them', () => heartbeats.some(({ batches }) => batches === 2));
    const heartbeat = heartbeats.at(-1);
    assert.deepEqual(
      [heartbeat?.id, heartbeat?.zone, heartbeat?.state, heartbeat?.storedRecords],
      [NODE, 'z1', 'serving', 4],
    );
    const { cluster } = new Buckets(CLUSTER);
    await eventually(
      'it is registered',
      async () => (await metadata.get(cluster, CLUSTER_KEYS.node(NODE))) !== undefined,
    );
    const entry = await metadata.get(cluster, CLUSTER_KEYS.node(NODE));
    const registered = decodeMetadata(nodeSchema, 'node', entry?.value ?? new Uint8Array(0));
    assert.equal(registered.incarnation, heartbeat?.instance);
    assert.equal(registered.zone, 'z1');
    assert.equal(await node.end('SIGTERM'), 0);
  });

  test('everything acknowledged is there after kill -9, any number of times', async () => {
    acked.clear();
    const directory = await newDirectory();
    let next = 0;
    for (let round = 0; round < 4; round++) {
      const node = await NodeProcess.ready(environment(directory, { PYRALOG_SEGMENT_BYTES: '1000000' }));
      assert.deepEqual(missing(acked, await readWhenKnown()), []);
      const target = acked.size + 500;
      // Far more than is waited for, so that the kill comes in the middle of commits.
      for (let index = 0; index < 4_000; index++) store({ baseOffset: next++, bodyBytes: 200 + (index % 900) });
      await eventually('some are acknowledged', () => acked.size >= target);
      await node.end('SIGKILL');
    }
    const node = await NodeProcess.ready(environment(directory));
    const offsets = await readWhenKnown();
    assert.deepEqual(missing(acked, offsets), []);
    assert.equal(new Set(offsets).size, offsets.length);
    assert.equal(node.lines.filter(({ level }) => level === 'error').length, 0);
    assert.equal(await node.end('SIGTERM'), 0);
  });

  test('everything acknowledged is there after kill -9 and the loss of the index', async () => {
    acked.clear();
    const directory = await newDirectory();
    const node = await NodeProcess.ready(environment(directory));
    for (let base = 0; base < 2_000; base++) store({ baseOffset: base });
    await eventually('all are acknowledged', () => acked.size === 2_000);
    await node.end('SIGKILL');
    await rm(path.join(directory, 'index'), { recursive: true });
    const again = await NodeProcess.ready(environment(directory));
    assert.deepEqual(missing(acked, await readWhenKnown()), []);
    await again.end('SIGTERM');
  });

  test('a segment that is gone is reported, and the rest is served', async () => {
    acked.clear();
    const directory = await newDirectory();
    const small = environment(directory, { PYRALOG_SEGMENT_BYTES: '65536' });
    const node = await NodeProcess.ready(small);
    for (let base = 0; base < 600; base++) store({ baseOffset: base, bodyBytes: 400 });
    await eventually('all are acknowledged', () => acked.size === 600);
    await node.end('SIGTERM');
    const names = (await readdir(path.join(directory, 'segments'))).sort();
    assert.ok(names.length >= 3);
    await unlink(path.join(directory, 'segments', names[1] ?? ''));
    const again = await NodeProcess.ready(small);
    assert.ok(again.lines.some(({ msg }) => msg === 'segment is missing: its batches are lost to this node'));
    const offsets = await readWhenKnown();
    assert.ok(offsets.length > 300 && offsets.length < 600, String(offsets.length));
    await again.end('SIGTERM');
    for (const name of names) await rm(path.join(directory, 'segments', name), { force: true });
    const empty = await NodeProcess.ready(small);
    assert.ok(empty.lines.some(({ msg }) => msg === 'index does not fit the segments and is rebuilt'));
    assert.deepEqual(await readWhenKnown(), []);
    assert.equal(await empty.end('SIGTERM'), 0);
  });

  test('memory batches are on disk after a clean stop', async () => {
    acked.clear();
    const directory = await newDirectory();
    const node = await NodeProcess.ready(environment(directory, { PYRALOG_FLUSH_INTERVAL_MS: '60000' }));
    store({ durability: 'memory' });
    await eventually('it is acknowledged', () => acked.size === 1);
    assert.equal(await node.end('SIGTERM'), 0);
    const again = await NodeProcess.ready(environment(directory));
    assert.deepEqual(await readWhenKnown(), [0]);
    await again.end('SIGTERM');
  });

  test('a node outlives an outage of NATS', async () => {
    acked.clear();
    const directory = await newDirectory();
    const node = await NodeProcess.ready(environment(directory));
    store({ baseOffset: 0 });
    await eventually('it is acknowledged', () => acked.has(0));
    await nats.stop();
    await nats.start();
    await eventually('the next one is acknowledged', async () => {
      if (client.status === 'connected') store({ baseOffset: 1 });
      await new Promise((resolve) => setTimeout(resolve, 50));
      return acked.has(1);
    });
    assert.deepEqual(await readWhenKnown(), [0, 1]);
    assert.equal(await node.end('SIGTERM'), 0);
  });

  test('a node may start before NATS, and is stopped cleanly while it waits', async () => {
    const node = new NodeProcess(environment(await newDirectory(), { PYRALOG_NATS_URL: 'nats://127.0.0.1:1' }));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.equal(node.exited, false);
    assert.equal(await node.end('SIGTERM'), 0);
  });

  test('a full disk makes the node read-only, not lose anything, and recover', async (context) => {
    acked.clear();
    heartbeats.length = 0;
    const small = await SmallDisk.make(context);
    if (small === undefined) return;
    const data = path.join(small.directory, 'data');
    let node: NodeProcess | undefined;
    try {
      node = await NodeProcess.ready(environment(data, { PYRALOG_COMMIT_BYTES_MAX: '500000' }));
      await small.fill(12 << 20);
      await eventually('the node has noticed', () => (heartbeats.at(-1)?.freeBytes ?? Infinity) < 13 << 20);
      let next = 0;
      await eventually('the disk is full', async () => {
        for (let index = 0; index < 10; index++) store({ baseOffset: next++, bodyBytes: 100_000 });
        await client.flush();
        await new Promise((resolve) => setTimeout(resolve, 10));
        return [...acked.values()].includes('read-only');
      });
      await eventually('the heartbeat says so', () => heartbeats.at(-1)?.state === 'read-only');
      const stored = (): Map<number, string> => new Map([...acked].filter(([, verdict]) => verdict === 'stored'));
      assert.deepEqual(missing(stored(), await readWhenKnown()), []);
      // Also after a restart, on the full disk.
      await node.end('SIGKILL');
      node = await NodeProcess.ready(environment(data, { PYRALOG_COMMIT_BYTES_MAX: '500000' }));
      assert.deepEqual(missing(stored(), await readWhenKnown()), []);
      await small.release();
      await eventually('stores are accepted again', async () => {
        store({ baseOffset: 1_000_000 });
        await new Promise((resolve) => setTimeout(resolve, 50));
        return acked.get(1_000_000) === 'stored';
      });
      assert.deepEqual(missing(stored(), await read()), []);
      assert.equal(await node.end('SIGTERM'), 0);
    } finally {
      await node?.end('SIGKILL');
      await small.dispose();
    }
  });

  test('a second process cannot use the directory of a first one, and can after it was killed', async () => {
    const directory = await newDirectory();
    const node = await NodeProcess.ready(environment(directory));
    const second = new NodeProcess(environment(directory));
    assert.equal(await second.end(), 1);
    assert.ok(second.lines.some(({ msg }) => msg === 'data directory is used by another process'));
    await node.end('SIGKILL');
    const third = await NodeProcess.ready(environment(directory));
    assert.equal(await third.end('SIGTERM'), 0);
  });

  test('another process under the same id on another disk takes the place of the first, which stops', async () => {
    const first = await NodeProcess.ready(environment(await newDirectory()));
    await first.logged('node is registered');
    const second = await NodeProcess.ready(environment(await newDirectory()));
    assert.equal(await first.end(), 1);
    assert.ok(
      first.lines.some(({ msg }) => msg === 'another process registered under this id with another data directory'),
    );
    assert.equal(second.exited, false);
    assert.equal(await second.end('SIGTERM'), 0);
  });

  const REFUSALS: readonly [string, string, (directory: string) => Promise<void>][] = [
    [
      'the directory of another node',
      'data directory belongs to another storage node',
      (directory) =>
        writeFile(
          path.join(directory, 'identity.json'),
          JSON.stringify({ formatVersion: 1, nodeId: 'other', incarnation: '0123456789abcdef' }),
        ),
    ],
    [
      'a directory of a newer format',
      'data directory is of a newer format than this version reads',
      (directory) =>
        writeFile(path.join(directory, 'identity.json'), JSON.stringify({ formatVersion: 2, anything: true })),
    ],
    [
      'a directory whose identity is damaged',
      'identity is not JSON',
      (directory) => writeFile(path.join(directory, 'identity.json'), '{"formatVersion": 1, "no'),
    ],
    [
      'segments without an identity',
      'data directory has segments but no identity',
      async (directory) => {
        await mkdir(path.join(directory, 'segments'));
        await writeFile(path.join(directory, 'segments', '00000000000000000001.seg'), 'x');
      },
    ],
  ];
  for (const [what, message, prepare] of REFUSALS) {
    test(`${what} is refused with a clear error, NATS or not`, async () => {
      const directory = await newDirectory();
      await prepare(directory);
      const node = new NodeProcess(environment(directory, { PYRALOG_NATS_URL: 'nats://127.0.0.1:1' }));
      assert.equal(await node.end(), 1);
      assert.equal(node.lines.at(-1)?.level, 'error');
      assert.equal(node.lines.at(-1)?.msg, message);
    });
  }

  test('segments of a newer format or of another directory are refused, and not touched', async () => {
    acked.clear();
    const directory = await newDirectory();
    const node = await NodeProcess.ready(environment(directory));
    store({ baseOffset: 0 });
    await eventually('it is acknowledged', () => acked.size === 1);
    await node.end('SIGTERM');
    const [name] = await readdir(path.join(directory, 'segments'));
    const file = path.join(directory, 'segments', name ?? '');
    const sound = await readFile(file);
    for (const [at, message] of [
      [8, 'segment is of a format that this version does not read'],
      [24, 'segment belongs to another data directory'],
    ] as const) {
      const changed = Buffer.from(sound);
      changed[at] = (changed[at] ?? 0) + 1;
      changed.writeUInt32LE(nativeCrc32(changed.subarray(8, 64)), 4);
      await writeFile(file, changed);
      const refused = new NodeProcess(environment(directory));
      assert.equal(await refused.end(), 1);
      assert.equal(refused.lines.at(-1)?.msg, message);
      assert.equal((await stat(file)).size, sound.byteLength);
    }
    await writeFile(file, sound);
    const again = await NodeProcess.ready(environment(directory));
    assert.deepEqual(await readWhenKnown(), [0]);
    await again.end('SIGTERM');
  });

  test('a configuration that is not valid is refused with every problem at once', async () => {
    const node = new NodeProcess({ PYRALOG_ID: 'Not Valid', PYRALOG_SEGMENT_BYTES: 'many' });
    assert.equal(await node.end(), 1);
    const text = JSON.stringify(node.lines.at(-1));
    for (const variable of ['PYRALOG_NATS_URL', 'PYRALOG_ID', 'PYRALOG_DATA_DIR', 'PYRALOG_SEGMENT_BYTES']) {
      assert.ok(text.includes(variable), variable);
    }
  });
});

const LOG = {
  namespace: 'ns',
  name: 'log',
  firstPartitionId: 1,
  partitionCount: 2,
  replicationFactor: 3,
  writeQuorum: 2,
  strategy: 'per-record',
  seed: 1,
  scatterWidth: 4,
  durability: 'fsync',
  createdAtMs: 0,
  state: 'active',
};

function missing(acked: ReadonlyMap<number, string>, offsets: readonly number[]): number[] {
  const there = new Set(offsets);
  return [...acked.keys()].filter((offset) => !there.has(offset));
}

function baseOffsets(bytes: Uint8Array): number[] {
  const offsets: number[] = [];
  for (let position = 0; position < bytes.byteLength; ) {
    const header = checkFrame(bytes, nativeCrc32, position);
    offsets.push(header.baseOffset);
    position += header.frameLength;
  }
  return offsets;
}
