/**
 * Sealing: a sequencer that takes over fences an epoch on the storage nodes, and learns what its tail is.
 *
 * The request is JSON, many partitions in one message. The node makes every seal durable before it answers. The answer
 * is `u8 version = 1 | u8 id length | u16 zero | u32 count | u64 incarnation | id | count entries`; an entry is
 * `u32 partitionId | u32 sealedEpoch | u32 flags | u32 header count | u64 released | header count × 96 bytes`, all
 * little-endian: the headers of the frames of the sealed epoch from `from` on, ascending, each with its own checksum.
 * Flag 1: the seal holds (otherwise the node has promised `sealedEpoch`, a higher one). Flag 2: the headers are all there
 * are (otherwise ask again from the end of the last). Flag 4: the node holds batches of an epoch above `knownEpoch`, or of
 * `epoch` under another nonce: the metadata has forgotten a reign. Flag 8: the node has lost something that it had stored,
 * and may have had batches that it does not have now.
 */
import { z } from 'zod';
import { hex64, readU64, text, utf8, viewOf, writeU64 } from '../bytes.ts';
import { assert, PyralogError } from '../errors.ts';
import { FRAME_HEADER_BYTES } from '../frame.ts';
import {
  type Epoch,
  type Incarnation,
  isProcessId,
  type Offset,
  type PartitionId,
  type StorageNodeId,
} from '../ids.ts';
import { epochSchema, nonceSchema, offsetSchema, partitionIdSchema } from '../metadata.ts';

/** Partitions of one request. */
export const SEALS_MAX = 256;

export const sealSchema = z
  .object({
    partitionId: partitionIdSchema,
    /** The claimed epoch: the node promises to store nothing of a lower one, except what this ballot writes back. */
    ballot: epochSchema,
    /** The epoch whose tail is asked for, and the nonce that its frames must carry. */
    epoch: epochSchema,
    nonce: nonceSchema,
    /** Where the wanted headers begin. */
    from: offsetSchema,
    /** Highest epoch that the metadata knows to have been opened. */
    knownEpoch: epochSchema,
  })
  .refine(({ ballot, epoch }) => ballot > epoch, { message: 'ballot is not above the epoch', path: ['ballot'] });
export type Seal = z.infer<typeof sealSchema>;

export const sealRequestSchema = z.object({ seals: z.array(sealSchema).min(1).max(SEALS_MAX) });

export interface SealAnswer {
  readonly partitionId: PartitionId;
  /** Whether the node is sealed at the ballot asked for. */
  readonly sealed: boolean;
  /** Highest epoch that the node has promised or stored. */
  readonly sealedEpoch: Epoch;
  /** Highest released offset that the node has seen in frames of the partition. */
  readonly releasedOffset: Offset;
  /** Whether the node holds batches of a reign that the metadata behind the request does not know. */
  readonly foreign: boolean;
  /** Whether the node may have had batches that it does not have now: its silence about a batch proves nothing. */
  readonly mayHaveLost: boolean;
  /** Whether `headers` goes to the end of what the node has. */
  readonly complete: boolean;
  /** Stamped frame headers, 96 bytes each, ascending by offset. */
  readonly headers: readonly Uint8Array[];
}

export interface SealReply {
  readonly nodeId: StorageNodeId;
  readonly incarnation: Incarnation;
  readonly answers: readonly SealAnswer[];
}

const VERSION = 1;
const PREFIX_BYTES = 16;
const ENTRY_BYTES = 24;
const FLAG_SEALED = 1;
const FLAG_COMPLETE = 2;
const FLAG_FOREIGN = 4;
const FLAG_MAY_HAVE_LOST = 8;
const FLAGS = FLAG_SEALED | FLAG_COMPLETE | FLAG_FOREIGN | FLAG_MAY_HAVE_LOST;

/** Bytes that `answer` takes in a reply. */
export function sealAnswerBytes(answer: SealAnswer): number {
  return ENTRY_BYTES + answer.headers.length * FRAME_HEADER_BYTES;
}

export function encodeSealReply(reply: SealReply): Uint8Array {
  assert(reply.answers.length <= SEALS_MAX, 'seal answers exceed one message');
  const id = utf8(reply.nodeId);
  const size = reply.answers.reduce((sum, answer) => sum + sealAnswerBytes(answer), PREFIX_BYTES + id.byteLength);
  const bytes = new Uint8Array(size);
  const view = viewOf(bytes);
  view.setUint8(0, VERSION);
  view.setUint8(1, id.byteLength);
  view.setUint32(4, reply.answers.length, true);
  view.setBigUint64(8, BigInt(`0x${reply.incarnation}`), true);
  bytes.set(id, PREFIX_BYTES);
  let position = PREFIX_BYTES + id.byteLength;
  for (const answer of reply.answers) {
    view.setUint32(position, answer.partitionId, true);
    view.setUint32(position + 4, answer.sealedEpoch, true);
    view.setUint32(position + 8, flagsOf(answer), true);
    view.setUint32(position + 12, answer.headers.length, true);
    writeU64(view, position + 16, answer.releasedOffset);
    position += ENTRY_BYTES;
    for (const header of answer.headers) {
      bytes.set(header.subarray(0, FRAME_HEADER_BYTES), position);
      position += FRAME_HEADER_BYTES;
    }
  }
  return bytes;
}

function flagsOf({ sealed, complete, foreign, mayHaveLost }: SealAnswer): number {
  const state = (sealed ? FLAG_SEALED : 0) | (complete ? FLAG_COMPLETE : 0);
  return state | (foreign ? FLAG_FOREIGN : 0) | (mayHaveLost ? FLAG_MAY_HAVE_LOST : 0);
}

/** @throws PyralogError `corrupt`. */
export function decodeSealReply(bytes: Uint8Array): SealReply {
  if (bytes.byteLength < PREFIX_BYTES) throw malformed();
  const view = viewOf(bytes);
  const idLength = view.getUint8(1);
  const count = view.getUint32(4, true);
  let position = PREFIX_BYTES + idLength;
  if (view.getUint8(0) !== VERSION || count > SEALS_MAX || position > bytes.byteLength) throw malformed();
  const nodeId = text(bytes.subarray(PREFIX_BYTES, position));
  if (!isProcessId(nodeId)) throw malformed();
  const answers: SealAnswer[] = [];
  for (let index = 0; index < count; index++) {
    if (bytes.byteLength - position < ENTRY_BYTES) throw malformed();
    const flags = view.getUint32(position + 8, true);
    const headerCount = view.getUint32(position + 12, true);
    const headersAt = position + ENTRY_BYTES;
    if ((flags & ~FLAGS) !== 0) throw malformed();
    if (headerCount > (bytes.byteLength - headersAt) / FRAME_HEADER_BYTES) throw malformed();
    answers.push({
      partitionId: view.getUint32(position, true) as PartitionId,
      sealedEpoch: view.getUint32(position + 4, true) as Epoch,
      sealed: (flags & FLAG_SEALED) !== 0,
      complete: (flags & FLAG_COMPLETE) !== 0,
      foreign: (flags & FLAG_FOREIGN) !== 0,
      mayHaveLost: (flags & FLAG_MAY_HAVE_LOST) !== 0,
      releasedOffset: readU64(view, position + 16) as Offset,
      headers: Array.from({ length: headerCount }, (_, header) =>
        bytes.subarray(headersAt + header * FRAME_HEADER_BYTES, headersAt + (header + 1) * FRAME_HEADER_BYTES),
      ),
    });
    position = headersAt + headerCount * FRAME_HEADER_BYTES;
  }
  if (position !== bytes.byteLength) throw malformed();
  const incarnation = hex64(view.getBigUint64(8, true)) as Incarnation;
  return { nodeId: nodeId as StorageNodeId, incarnation, answers };
}

function malformed(): PyralogError {
  return new PyralogError({ code: 'corrupt', message: 'seal reply is not well formed' });
}
