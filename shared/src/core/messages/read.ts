/**
 * Reading from a storage node: one request, a stream of messages to its reply subject, one of them the last.
 *
 * A request asks for the batches of one epoch that overlap `[from, until)` and of which the node is the designated
 * reader (first member of the copyset not in `exclude`), up to `credit` bytes; the node keeps nothing between requests.
 * Each message is `u8 kind | u8[3] zero | u32 sequence` (little-endian; `sequence` counts the messages of the stream
 * from 0, so that a lost one shows) and then: kind 0, frames one after another, ascending; kind 1, the JSON reply
 * envelope with the `ReadEnd` or the error, which ends the stream.
 */
import { z } from 'zod';
import { concatBytes, viewOf } from '../bytes.ts';
import { PyralogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import {
  epochSchema,
  fragmentSchema,
  offsetSchema,
  partitionIdSchema,
  slotSchema,
  storageNodeIdSchema,
} from '../metadata.ts';

const { strategy, seed, scatterWidth, replicationFactor } = fragmentSchema.shape;

export const readRequestSchema = z
  .object({
    partitionId: partitionIdSchema,
    epoch: epochSchema,
    from: offsetSchema,
    until: offsetSchema,
    placement: z.object({
      strategy,
      seed,
      scatterWidth,
      replicationFactor,
      slots: z
        .array(slotSchema.pick({ nodeId: true, zone: true }))
        .min(1)
        .max(LIMITS.nodesetNodesMax),
    }),
    /** Nodes that the reader does not ask: the next member of the copyset is the designated reader then. */
    exclude: z.array(storageNodeIdSchema).max(LIMITS.nodesetNodesMax),
    /** Bytes of frames after which the stream ends; at least one batch is sent. */
    credit: z.number().int().min(1).max(LIMITS.readCreditBytesMax),
  })
  .refine((request) => request.placement.replicationFactor <= request.placement.slots.length, {
    message: 'replication factor exceeds the slots',
    path: ['placement', 'replicationFactor'],
  });
export type ReadRequest = z.infer<typeof readRequestSchema>;

export const readEndSchema = z.object({
  /** Everything the node had to send before this offset was sent: `until`, or less when the credit ran out. */
  next: offsetSchema,
  /** Highest released offset that the node has seen for the partition. */
  releasedOffset: offsetSchema,
});
export type ReadEnd = z.infer<typeof readEndSchema>;

export type ReadMessage =
  | { readonly kind: 'frames'; readonly sequence: number; readonly bytes: Uint8Array }
  | { readonly kind: 'end'; readonly sequence: number; readonly bytes: Uint8Array };

export const READ_MESSAGE_PREFIX_BYTES = 8;

export function encodeReadMessage(
  kind: ReadMessage['kind'],
  sequence: number,
  parts: readonly Uint8Array[],
): Uint8Array {
  const prefix = new Uint8Array(READ_MESSAGE_PREFIX_BYTES);
  prefix[0] = kind === 'frames' ? 0 : 1;
  viewOf(prefix).setUint32(4, sequence, true);
  return concatBytes([prefix, ...parts]);
}

/** @throws PyralogError `corrupt`. */
export function decodeReadMessage(bytes: Uint8Array): ReadMessage {
  const kind = bytes[0];
  if (bytes.byteLength < READ_MESSAGE_PREFIX_BYTES || (kind !== 0 && kind !== 1)) {
    throw new PyralogError({ code: 'corrupt', message: 'read message is not well formed' });
  }
  return {
    kind: kind === 0 ? 'frames' : 'end',
    sequence: viewOf(bytes).getUint32(4, true),
    bytes: bytes.subarray(READ_MESSAGE_PREFIX_BYTES),
  };
}
