/**
 * The `MetadataStore` port on JetStream KV: a bucket is a stream `KV_<bucket>`, a key a subject `$KV.<bucket>.<key>` with
 * one message of history, a revision that message's sequence. The layout is the one of every NATS client, so that
 * `nats kv` can look at it.
 *
 * The JetStream API is spoken directly rather than through nats.js' KV, for exactness: a write is one request with an
 * expected sequence and is never repeated here, so that `conflict` always means that nothing was written, and what
 * cannot be known is `timeout` or `unavailable` with outcome `unknown`. Reads go to the stream's leader.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { headers, type Msg, type NatsConnection } from 'nats';
import { z } from 'zod';
import {
  assert,
  type Logger,
  type MetadataEntry,
  type MetadataStore,
  PyralogError,
  type Registration,
  text,
  utf8,
  type WatchHandlers,
  type WriteResult,
} from '../core/index.ts';
import { jetStreamError, KV_OPERATION, NOTHING, parseReply, streamOf, subjectOf } from './nats-kv-protocol.ts';
import { linkOf, type NatsLink } from './nats-link.ts';
import { NatsWatch } from './nats-watch.ts';

const REQUEST_TIMEOUT_MS = 5_000;
const OPEN_TIMEOUT_MS = 30_000;
const OPEN_RETRY_MS = 250;
const KEYS_TIMEOUT_MS = 30_000;
const EXPECTED_SEQUENCE = 'Nats-Expected-Last-Subject-Sequence';
/** JetStream's error codes that are told apart. */
const ERR = {
  streamExistsOtherwise: 10058,
  messageNotFound: 10037,
  wrongLastSequence: 10071,
  /** The same, found while another write of the key was on its way. */
  wrongLastSequenceInFlight: 10164,
} as const;

const storedSchema = z.object({
  message: z.object({
    seq: z.number().int(),
    hdrs: z.string().optional(),
    data: z.string().optional(),
  }),
});
const acknowledgedSchema = z.object({ stream: z.string(), seq: z.number().int().min(1) });
const anySchema = z.object({});

/** The last message of a key: a value, or the mark of its deletion. */
interface Last {
  readonly revision: number;
  readonly deleted: boolean;
  readonly value: Uint8Array;
}

export class NatsMetadataStore implements MetadataStore {
  readonly #link: NatsLink;
  readonly #logger: Logger;

  constructor(connection: NatsConnection, logger: Logger) {
    this.#link = linkOf(connection, logger);
    this.#logger = logger;
  }

  /** A bucket that exists is left as it is, also when it has another number of replicas. */
  async openBucket(bucket: string, options: { readonly replicas: number }): Promise<void> {
    const config = {
      name: streamOf(bucket),
      subjects: [subjectOf(bucket, '>')],
      max_msgs_per_subject: 1,
      max_bytes: -1,
      max_msg_size: -1,
      storage: 'file',
      retention: 'limits',
      discard: 'new',
      num_replicas: options.replicas,
      allow_rollup_hdrs: true,
      deny_delete: true,
      allow_direct: false,
    };
    // Creating is idempotent, and a cluster that has just started has no leader yet: so it is tried again for a while.
    const deadline = performance.now() + OPEN_TIMEOUT_MS;
    for (;;) {
      try {
        await this.#create(bucket, config);
        return;
      } catch (error) {
        const later = error instanceof PyralogError && (error.code === 'unavailable' || error.code === 'timeout');
        if (!later || performance.now() > deadline) throw error;
        this.#logger.debug('bucket cannot be opened yet', { bucket, error });
      }
      await sleep(OPEN_RETRY_MS);
    }
  }

  async #create(bucket: string, config: { readonly name: string }): Promise<void> {
    const reply = parseReply(anySchema, await this.#api(`STREAM.CREATE.${config.name}`, config));
    if (reply.kind === 'result' || reply.error.err_code === ERR.streamExistsOtherwise) return;
    throw jetStreamError(reply.error, { bucket });
  }

  async get(bucket: string, key: string): Promise<MetadataEntry | undefined> {
    const last = await this.#last(bucket, key);
    return last === undefined || last.deleted ? undefined : { key, value: last.value, revision: last.revision };
  }

  async compareAndSet(bucket: string, key: string, revision: number, value: Uint8Array): Promise<WriteResult> {
    const result = await this.#write(bucket, key, revision, value);
    if (result.kind === 'written' || revision !== 0) return result;
    // A deleted key does not exist, but the mark of its deletion does: it is what the new value must follow.
    const last = await this.#last(bucket, key);
    return last?.deleted ? this.#write(bucket, key, last.revision, value) : result;
  }

  async compareAndDelete(bucket: string, key: string, revision: number): Promise<WriteResult> {
    assert(revision > 0, 'deleting a key that must not exist');
    return this.#write(bucket, key, revision, NOTHING, 'DEL');
  }

  async keys(bucket: string, prefix: string): Promise<string[]> {
    const keys: string[] = [];
    let stop = (): void => undefined;
    const listed = new Promise<void>((resolve, reject) => {
      const watch = new NatsWatch(this.#link, this.#logger, {
        bucket,
        keysOnly: true,
        handlers: {
          onChange: (change) => {
            if (change.kind === 'put' && change.entry.key.startsWith(prefix)) keys.push(change.entry.key);
          },
          onCaughtUp: resolve,
        },
        onEnd: reject,
      });
      const timer = setTimeout(() => {
        reject(
          new PyralogError({
            code: 'timeout',
            message: 'keys were not listed in time',
            fields: { bucket, timeoutMs: KEYS_TIMEOUT_MS },
          }),
        );
      }, KEYS_TIMEOUT_MS);
      stop = () => {
        clearTimeout(timer);
        watch.cancel();
      };
      watch.start().catch(reject);
    });
    try {
      await listed;
    } finally {
      stop();
    }
    return keys;
  }

  async watch(bucket: string, handlers: WatchHandlers): Promise<Registration> {
    const watch = new NatsWatch(this.#link, this.#logger, { bucket, keysOnly: false, handlers });
    await watch.start();
    return watch;
  }

  async #last(bucket: string, key: string): Promise<Last | undefined> {
    const message = await this.#api(`STREAM.MSG.GET.${streamOf(bucket)}`, { last_by_subj: subjectOf(bucket, key) });
    const reply = parseReply(storedSchema, message);
    if (reply.kind === 'error') {
      if (reply.error.err_code === ERR.messageNotFound) return undefined;
      throw jetStreamError(reply.error, { bucket, key });
    }
    const { seq, hdrs, data } = reply.result.message;
    const operation = hdrs === undefined ? '' : text(Buffer.from(hdrs, 'base64'));
    return {
      revision: seq,
      deleted: operation.includes(KV_OPERATION),
      value: data === undefined ? NOTHING : new Uint8Array(Buffer.from(data, 'base64')),
    };
  }

  async #write(
    bucket: string,
    key: string,
    revision: number,
    value: Uint8Array,
    operation?: 'DEL',
  ): Promise<WriteResult> {
    const limit = this.#link.connection.info?.max_payload;
    if (limit !== undefined && value.byteLength > limit) {
      throw new PyralogError({
        code: 'invalid',
        message: 'metadata value exceeds what the nats server takes',
        fields: { field: 'value', bucket, key, size: value.byteLength, limit },
      });
    }
    const condition = headers();
    condition.set(EXPECTED_SEQUENCE, String(revision));
    if (operation !== undefined) condition.set(KV_OPERATION, operation);
    const message = await this.#link.request(subjectOf(bucket, key), value, {
      timeoutMs: REQUEST_TIMEOUT_MS,
      headers: condition,
    });
    const reply = parseReply(acknowledgedSchema, message);
    if (reply.kind === 'result') return { kind: 'written', revision: reply.result.seq };
    const code = reply.error.err_code;
    if (code === ERR.wrongLastSequence || code === ERR.wrongLastSequenceInFlight) return { kind: 'conflict' };
    throw jetStreamError(reply.error, { bucket, key });
  }

  #api(name: string, request: unknown): Promise<Msg> {
    return this.#link.request(`$JS.API.${name}`, utf8(JSON.stringify(request)), { timeoutMs: REQUEST_TIMEOUT_MS });
  }
}
