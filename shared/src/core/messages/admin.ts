/** What clients and operators ask of any sequencer. */
import { z } from 'zod';
import { STRATEGIES } from '../copyset.ts';
import { LIMITS } from '../limits.ts';
import { logNameSchema, logSchema, sequencerIdSchema } from '../metadata.ts';
import { heartbeatSchema } from './heartbeat.ts';
import { logTopologySchema } from './topology.ts';

/**
 * How a log is to be created. Numbers are checked by the sequencer, which knows the cluster and names the limit, so that
 * the schema lets any number pass.
 */
export const logOptionsSchema = z.object({
  partitions: z.number(),
  replicationFactor: z.number().optional(),
  writeQuorum: z.number().optional(),
  strategy: z.enum(STRATEGIES).optional(),
  seed: z.number().optional(),
  scatterWidth: z.number().optional(),
  durability: z.enum(['fsync', 'memory']).optional(),
});
export type LogOptions = z.infer<typeof logOptionsSchema>;

/** On `admin.<namespace>`. */
export const adminRequestSchema = z.discriminatedUnion('op', [
  z.object({ op: z.literal('create-log'), name: z.string(), options: logOptionsSchema }),
  z.object({ op: z.literal('delete-log'), name: logNameSchema }),
  z.object({ op: z.literal('list-logs') }),
  /** To a sequencer, where it stays while that one lives; without `to`, back to whom the ranking says. */
  z.object({
    op: z.literal('move-partition'),
    name: logNameSchema,
    partition: z.number().int().min(0),
    to: sequencerIdSchema.optional(),
  }),
  z.object({ op: z.literal('topology'), name: logNameSchema, from: z.number().int().min(0) }),
]);
export type AdminRequest = z.infer<typeof adminRequestSchema>;

export const logListSchema = z.object({ logs: z.array(logSchema) });
export const createdLogSchema = z.object({ log: logSchema });
export const topologyReplySchema = logTopologySchema;

/** On `operate.<sequencerId>`: hand everything over and take nothing, or take part again. Answered when it is done. */
export const operateRequestSchema = z.discriminatedUnion('op', [
  z.object({ op: z.literal('drain') }),
  z.object({ op: z.literal('resume') }),
]);
export const operateReplySchema = z.object({ partitions: z.number().int().min(0) });

/** On `cluster`. */
export const clusterRequestSchema = z.discriminatedUnion('op', [
  z.object({ op: z.literal('status') }),
  z.object({ op: z.literal('list-logs') }),
]);
export const clusterStatusSchema = z.object({
  clusterName: z.string(),
  /** Processes heard of lately; `alive` within the suspicion timeout. */
  processes: z.array(z.object({ alive: z.boolean(), silentMs: z.number(), heartbeat: heartbeatSchema })).max(4_096),
  logs: z.number().int().min(0),
  partitions: z.object({ serving: z.number(), unowned: z.number(), recoveryNeeded: z.number(), halted: z.number() }),
  limits: z.object({ payloadBytesMax: z.number() }),
});
export type ClusterStatus = z.infer<typeof clusterStatusSchema>;
/** Logs described by one message: one with the longest names is 520 bytes. */
export const LOGS_LISTED_MAX = Math.floor(LIMITS.controlMessageBytesMax / 600);
