/**
 * A storage process of the ceiling: receive, check the CRC, one `writev` and one `fdatasync` for everything that arrived
 * meanwhile, one acknowledgement for all of it. Nothing else: no index, no seals, no duplicates, no reads.
 *
 * An acknowledgement counts: "the first `count` frames of this run are on my disk". Core NATS keeps the order of one
 * publisher, so that a count says which.
 */
import { close, fdatasync, open, rm, writev } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { assert, PyralogError, viewOf } from '@pyralog/shared/core';
import { nativeCrc32 } from '@pyralog/shared/node';
import type { Msg } from 'nats';
import { connectCeiling } from './ceiling-connection.ts';
import { CEILING_CRC_FROM, type CeilingStorageSettings, ceilingSubject, encodeCeilingAck } from './ceiling-protocol.ts';
import { serveTasks, workerSettings } from './serve-tasks.ts';

/** `begin` empties the file and counts from 0; `end` says what was done since. */
export type CeilingStorageTask = 'begin' | 'end';

export interface CeilingStorageResult {
  readonly frames: number;
  readonly bytes: number;
  readonly commits: number;
}

const settings = workerSettings<CeilingStorageSettings>();
const path = join(settings.directory, `${settings.variant}-${settings.member}.seg`);
const { variant, natsUrl } = settings;
const connection = await connectCeiling({ variant, natsUrl, name: `ceiling-storage-${settings.member}` });

let file: number | undefined;
let received: Uint8Array[] = [];
let writing = false;
let position = 0;
let frames = 0;
let commits = 0;
let ackSubject = '';

for (let copy = 0; copy < settings.replicationFactor; copy++) {
  const first = (settings.member - copy + settings.storageProcesses) % settings.storageProcesses;
  connection.subscribe(ceilingSubject(variant, first), { callback: receive });
}
await connection.flush();
serveTasks<CeilingStorageTask>(
  (task) => (task === 'begin' ? begin() : Promise.resolve({ frames, bytes: position, commits })),
  async () => {
    await connection.close();
    await promisify(rm)(path, { force: true });
  },
);

async function begin(): Promise<void> {
  assert(!writing && received.length === 0, 'a run begins while the last one goes on');
  if (file !== undefined) await promisify(close)(file);
  file = await promisify(open)(path, 'w');
  position = 0;
  frames = 0;
  commits = 0;
  ackSubject = '';
}

function receive(error: Error | null, message: Msg): void {
  if (error !== null) throw error;
  const frame = message.data;
  if (nativeCrc32(frame.subarray(CEILING_CRC_FROM)) !== viewOf(frame).getUint32(0, true)) {
    throw new PyralogError({ code: 'corrupt', message: 'checksum does not match' });
  }
  if (ackSubject === '') ackSubject = message.reply ?? '';
  received.push(frame);
  if (!writing) {
    writing = true;
    // Not at once: what else is in the socket's buffer belongs to the same commit.
    setImmediate(commit);
  }
}

function commit(): void {
  assert(file !== undefined, 'a frame arrived before the run began');
  const target = file;
  const batch = received;
  received = [];
  let bytes = 0;
  for (const frame of batch) bytes += frame.byteLength;
  writev(target, batch, position, (writeError, written) => {
    if (writeError !== null) throw writeError;
    assert(written === bytes, 'short write');
    fdatasync(target, (syncError) => {
      if (syncError !== null) throw syncError;
      position += bytes;
      frames += batch.length;
      commits++;
      connection.publish(ackSubject, encodeCeilingAck({ member: settings.member, count: frames }));
      if (received.length > 0) commit();
      else writing = false;
    });
  });
}
