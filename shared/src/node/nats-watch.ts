/**
 * Follows a KV bucket: first the latest message of every key, then every change, across lost messages, reconnections,
 * restarts of the server and a bucket that was rolled back or made anew.
 *
 * An ephemeral push consumer delivers in order. Whenever continuity is in doubt (a gap in the delivery sequence, missed
 * heartbeats, a reconnection) a new consumer starts over with the latest message of every key, and only what differs
 * from what was reported is reported; keys that are gone are reported as deleted. So the latest value of every key is
 * never missed, whatever happened in between; intermediate values may be.
 */
import { createInbox, type Msg, type Subscription } from 'nats';
import { z } from 'zod';
import {
  type Logger,
  type MetadataChange,
  PyralogError,
  type Registration,
  utf8,
  type WatchHandlers,
} from '../core/index.ts';
import { handlerFailed } from './nats-errors.ts';
import { jetStreamError, KV_OPERATION, NOTHING, parseReply, streamOf, subjectOf } from './nats-kv-protocol.ts';
import type { NatsLink } from './nats-link.ts';

export interface WatchOptions {
  readonly bucket: string;
  /** Values are left out. */
  readonly keysOnly: boolean;
  readonly handlers: WatchHandlers;
  /** The watch ended by itself, because the connection was closed. */
  readonly onEnd?: (error: PyralogError) => void;
}

const REQUEST_TIMEOUT_MS = 5_000;
const HEARTBEAT_MS = 1_000;
const SILENCE_MS_MAX = 3_500;
const RETRY_MS = 250;
const RETRY_MS_MAX = 2_000;
const NANOSECONDS = 1_000_000;
const STATUS_CONTROL = 100;

/** A bucket whose last message was taken out by hand is caught up with when nothing more comes for so long. */
const PATIENCE_MS = 5_000;

const infoSchema = z.object({ state: z.object({ messages: z.number().int(), last_seq: z.number().int() }) });
const createdSchema = z.object({ name: z.string(), num_pending: z.number().int().optional() });

/** One consumer's deliveries. */
interface Session {
  readonly subscription: Subscription;
  name: string | undefined;
  readonly startedAtMs: number;
  /**
   * Sequence of the last message that the stream's leader had before the consumer was made. The consumer may be made on
   * a server that lags behind; it has caught up no sooner than this was delivered.
   */
  target: number;
  /** Delivery sequence of the last message. */
  delivered: number;
  /** Stream sequence of the last message. */
  position: number;
  /** Everything that existed when the consumer was made has been delivered. */
  caughtUp: boolean;
  /** Keys that existed, reported by this consumer before it caught up. */
  readonly seen: Set<string>;
  heardAtMs: number;
}

export class NatsWatch implements Registration {
  readonly #link: NatsLink;
  readonly #logger: Logger;
  readonly #options: WatchOptions;
  readonly #prefix: string;
  /** What was reported of each key that exists: its sequence and time, which together name a message. */
  readonly #reported = new Map<string, { readonly version: string; readonly revision: number }>();
  #session: Session | undefined;
  #announced = false;
  #cancelled = false;
  #failures = 0;
  #starting = false;
  #timer: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #statusRegistration: Registration | undefined;

  constructor(link: NatsLink, logger: Logger, options: WatchOptions) {
    this.#link = link;
    this.#logger = logger;
    this.#options = options;
    this.#prefix = subjectOf(options.bucket, '');
  }

  /** @throws PyralogError when the first consumer cannot be made; later ones are tried for ever. */
  async start(): Promise<void> {
    await this.#open();
    if (this.#cancelled) return;
    this.#statusRegistration = this.#link.onStatus((status) => {
      if (status === 'connected') this.#restart('reconnected');
      if (status === 'closed') this.#end();
    });
    this.#timer = setInterval(() => this.#checkSilence(), HEARTBEAT_MS);
  }

  cancel(): void {
    this.#cancelled = true;
    clearInterval(this.#timer);
    clearTimeout(this.#retry);
    this.#statusRegistration?.cancel();
    this.#drop();
  }

  #end(): void {
    this.cancel();
    this.#options.onEnd?.(
      new PyralogError({ code: 'closed', message: 'connection is closed', fields: { bucket: this.#options.bucket } }),
    );
  }

  async #open(): Promise<void> {
    const { connection } = this.#link;
    const { bucket, keysOnly } = this.#options;
    const stream = streamOf(bucket);
    const inbox = createInbox();
    const session: Session = {
      subscription: connection.subscribe(inbox, {
        callback: (error, message) => this.#receive(session, error, message),
      }),
      name: undefined,
      startedAtMs: performance.now(),
      target: 0,
      delivered: 0,
      position: 0,
      caughtUp: false,
      seen: new Set(),
      heardAtMs: performance.now(),
    };
    this.#drop();
    this.#session = session;
    const config = {
      deliver_subject: inbox,
      deliver_policy: 'last_per_subject',
      ack_policy: 'none',
      replay_policy: 'instant',
      filter_subject: subjectOf(bucket, '>'),
      headers_only: keysOnly,
      flow_control: true,
      idle_heartbeat: HEARTBEAT_MS * NANOSECONDS,
      max_deliver: 1,
      mem_storage: true,
      num_replicas: 1,
    };
    try {
      const { messages, last_seq } = (await this.#api(infoSchema, `STREAM.INFO.${stream}`, {})).state;
      if (this.#session !== session) return;
      session.target = messages === 0 ? 0 : last_seq;
      const created = await this.#api(createdSchema, `CONSUMER.CREATE.${stream}`, { stream_name: stream, config });
      if (this.#session !== session) return;
      session.name = created.name;
      session.heardAtMs = performance.now();
      if ((created.num_pending ?? 0) === 0 && session.delivered === 0) this.#nothingPending(session);
    } catch (error) {
      if (this.#session === session) this.#drop();
      throw error;
    }
  }

  async #api<T extends z.ZodType>(schema: T, name: string, request: unknown): Promise<z.output<T>> {
    const payload = utf8(JSON.stringify(request));
    const message = await this.#link.request(`$JS.API.${name}`, payload, { timeoutMs: REQUEST_TIMEOUT_MS });
    const reply = parseReply(schema, message);
    if (reply.kind === 'error') throw jetStreamError(reply.error, { bucket: this.#options.bucket });
    return reply.result;
  }

  #drop(): void {
    const session = this.#session;
    this.#session = undefined;
    if (session === undefined || this.#link.status === 'closed') return;
    if (!session.subscription.isClosed()) session.subscription.unsubscribe();
    // The server removes a consumer without a listener by itself after some seconds.
    if (session.name !== undefined && this.#link.status === 'connected') {
      this.#link.connection.publish(`$JS.API.CONSUMER.DELETE.${streamOf(this.#options.bucket)}.${session.name}`);
    }
  }

  #restart(reason: string): void {
    if (this.#cancelled || this.#starting) return;
    this.#starting = true;
    this.#logger.debug('watch starts over', { bucket: this.#options.bucket, reason });
    this.#open().then(
      () => {
        this.#starting = false;
        this.#failures = 0;
      },
      (error: unknown) => {
        this.#failures += 1;
        if (this.#cancelled) return;
        if (this.#failures === 1)
          this.#logger.warn('watch cannot start over, trying again', { bucket: this.#options.bucket, error });
        this.#retry = setTimeout(
          () => {
            this.#starting = false;
            if (this.#link.status === 'connected') this.#restart('failed before');
          },
          Math.min(RETRY_MS_MAX, RETRY_MS * this.#failures),
        );
      },
    );
  }

  #checkSilence(): void {
    const session = this.#session;
    if (this.#link.status !== 'connected' || this.#starting) return;
    if (session === undefined || performance.now() - session.heardAtMs > SILENCE_MS_MAX) this.#restart('no heartbeat');
  }

  #receive(session: Session, error: Error | null, message: Msg): void {
    if (session !== this.#session) return;
    if (error !== null) {
      this.#logger.error('watch was refused', { bucket: this.#options.bucket, error });
      return;
    }
    session.heardAtMs = performance.now();
    if (message.headers?.code === STATUS_CONTROL && message.data.byteLength === 0) {
      this.#control(session, message);
      return;
    }
    const place = parseAckSubject(message.reply);
    if (place === undefined) return;
    if (place.delivered !== session.delivered + 1) {
      this.#restart('gap');
      return;
    }
    session.delivered = place.delivered;
    session.position = place.revision;
    this.#report(session, message, place);
    if (place.pending === 0 && this.#session === session) this.#nothingPending(session);
  }

  /** A heartbeat tells what should have arrived; a flow control request is answered so that the server goes on. */
  #control(session: Session, message: Msg): void {
    const { connection } = this.#link;
    if (message.reply) connection.publish(message.reply, NOTHING);
    const stalled = message.headers?.get('Nats-Consumer-Stalled');
    if (stalled) connection.publish(stalled, NOTHING);
    const last = message.headers?.get('Nats-Last-Consumer');
    if (!last) return;
    if (Number(last) !== session.delivered) this.#restart('gap before a heartbeat');
    else this.#nothingPending(session);
  }

  #report(session: Session, message: Msg, place: Place): void {
    const key = message.subject.slice(this.#prefix.length);
    const version = `${place.revision}@${place.time}`;
    const known = this.#reported.get(key);
    const deleted = message.headers?.has(KV_OPERATION) === true;
    if (deleted) {
      if (known === undefined) return;
      this.#reported.delete(key);
      this.#call({ kind: 'deleted', key, revision: place.revision });
      return;
    }
    if (!session.caughtUp) session.seen.add(key);
    if (known?.version === version) return;
    this.#reported.set(key, { version, revision: place.revision });
    this.#call({ kind: 'put', entry: { key, value: message.data.slice(), revision: place.revision } });
  }

  #nothingPending(session: Session): void {
    const late = performance.now() - session.startedAtMs > PATIENCE_MS;
    if (!session.caughtUp && (session.position >= session.target || late)) this.#caughtUp(session);
  }

  #caughtUp(session: Session): void {
    session.caughtUp = true;
    for (const [key, { revision }] of this.#reported) {
      if (session.seen.has(key)) continue;
      this.#reported.delete(key);
      this.#call({ kind: 'deleted', key, revision });
    }
    session.seen.clear();
    if (this.#announced) return;
    this.#announced = true;
    try {
      this.#options.handlers.onCaughtUp();
    } catch (error) {
      handlerFailed(this.#logger, this.#prefix, error);
    }
  }

  #call(change: MetadataChange): void {
    try {
      this.#options.handlers.onChange(change);
    } catch (error) {
      handlerFailed(this.#logger, this.#prefix, error);
    }
  }
}

/** Where a delivered message stands. */
interface Place {
  readonly revision: number;
  readonly delivered: number;
  /** Nanoseconds since the Unix epoch, as text: they exceed a double's precision. */
  readonly time: string;
  readonly pending: number;
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<delivery sequence>.<time>.<pending>`, or with `<domain>`
 * and `<account>` before the stream and a random token at the end.
 */
function parseAckSubject(subject: string | undefined): Place | undefined {
  const tokens = subject?.split('.') ?? [];
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK' || tokens.length < 9) return undefined;
  const first = tokens.length === 9 ? 5 : 7;
  const [revision, delivered, time, pending] = tokens.slice(first, first + 4);
  if (revision === undefined || delivered === undefined || time === undefined || pending === undefined)
    return undefined;
  return { revision: Number(revision), delivered: Number(delivered), time, pending: Number(pending) };
}
