/** What every sequencer and storage node says of itself every `heartbeatIntervalMs`. A hint: safety never rests on it. */
import { z } from 'zod';
import { incarnationSchema, sequencerIdSchema, storageNodeIdSchema, zoneSchema } from '../metadata.ts';

const count = z.number().int().min(0);

export const heartbeatSchema = z.discriminatedUnion('role', [
  z.object({
    role: z.literal('sequencer'),
    id: sequencerIdSchema,
    /** Names this start of the process: 16 hexadecimal digits. */
    instance: incarnationSchema,
    /** A draining sequencer takes no partitions. */
    state: z.enum(['serving', 'draining']),
    startedAtMs: count,
    partitions: count,
    /** Partitions that it is taking over from a dead owner. */
    recovering: count,
    appendedRecords: count,
    appendedBytes: count,
    windowBytes: count,
    rssBytes: count,
  }),
  z.object({
    role: z.literal('storage-node'),
    id: storageNodeIdSchema,
    /** Of the data directory: another one means that the data is lost. */
    instance: incarnationSchema,
    zone: zoneSchema.optional(),
    /** A read-only node has no room; it serves reads. */
    state: z.enum(['serving', 'read-only']),
    startedAtMs: count,
    batches: count,
    storedRecords: count,
    storedBytes: count,
    segments: count,
    freeBytes: count,
    rssBytes: count,
  }),
]);
export type Heartbeat = z.infer<typeof heartbeatSchema>;
export type SequencerHeartbeat = Extract<Heartbeat, { role: 'sequencer' }>;
export type StorageNodeHeartbeat = Extract<Heartbeat, { role: 'storage-node' }>;
