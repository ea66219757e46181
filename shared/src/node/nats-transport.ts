/**
 * The `Transport` port on a nats.js connection. Messages go to callbacks straight from the connection's parser, without
 * an iterator or a promise in between.
 */
import { createInbox, type Msg, type NatsConnection } from 'nats';
import {
  invalid,
  type Logger,
  type Message,
  PyralogError,
  type Registration,
  type RequestOptions,
  type SubscribeOptions,
  type Transport,
  type TransportStatus,
} from '../core/index.ts';
import { handlerFailed, translateNatsError } from './nats-errors.ts';
import { linkOf, type NatsLink } from './nats-link.ts';

/** Longest time that `close` waits for what was published and received before. */
const DRAIN_TIMEOUT_MS = 2_000;
const STATUS_NO_RESPONDERS = 503;

/** Subject and reply subject are decoded when they are asked for: most messages are told apart by their subscription. */
class ReceivedMessage implements Message {
  readonly #message: Msg;

  constructor(message: Msg) {
    this.#message = message;
  }
  get subject(): string {
    return this.#message.subject;
  }
  get payload(): Uint8Array {
    return this.#message.data;
  }
  get replyTo(): string | undefined {
    return this.#message.reply || undefined;
  }
}

export class NatsTransport implements Transport {
  readonly connection: NatsConnection;
  readonly #logger: Logger;
  readonly #link: NatsLink;
  readonly #inboxPrefix: string;
  #payloadBytesMax = 0;
  #closing: Promise<void> | undefined;

  constructor(connection: NatsConnection, logger: Logger, inboxPrefix = '_INBOX') {
    this.connection = connection;
    this.#logger = logger;
    this.#inboxPrefix = inboxPrefix;
    this.#link = linkOf(connection, logger);
  }

  /** That of the server connected to now, or last. */
  get payloadBytesMax(): number {
    this.#payloadBytesMax = this.connection.info?.max_payload ?? this.#payloadBytesMax;
    return this.#payloadBytesMax;
  }

  get status(): TransportStatus {
    return this.#closing === undefined ? this.#link.status : 'closed';
  }

  publish(subject: string, payload: Uint8Array, replyTo?: string): void {
    const status = this.status;
    if (status === 'closed') throw this.#closed(subject);
    this.#checkSize(subject, payload);
    if (status === 'disconnected') return;
    this.connection.publish(subject, payload, replyTo === undefined ? undefined : { reply: replyTo });
  }

  subscribe(subject: string, handler: (message: Message) => void, options: SubscribeOptions = {}): Registration {
    if (this.status === 'closed') throw this.#closed(subject);
    const { queue, onNoResponders } = options;
    const callback = (error: Error | null, message: Msg): void => {
      if (error !== null) {
        this.#logger.error('subscription was refused', { subject, error });
        return;
      }
      if (isNoResponders(message)) {
        if (onNoResponders !== undefined) this.#call(subject, onNoResponders, message.subject);
        return;
      }
      this.#call(subject, handler, new ReceivedMessage(message));
    };
    const subscription = this.connection.subscribe(subject, queue === undefined ? { callback } : { callback, queue });
    return {
      cancel: () => {
        if (!subscription.isClosed()) subscription.unsubscribe();
      },
    };
  }

  async request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Message> {
    if (this.status === 'closed') throw this.#closed(subject);
    this.#checkSize(subject, payload);
    return new ReceivedMessage(await this.#link.request(subject, payload, options));
  }

  createInbox(): string {
    return createInbox(this.#inboxPrefix);
  }

  async flush(): Promise<void> {
    if (this.status !== 'connected') throw this.#link.notConnected('');
    try {
      await this.connection.flush();
    } catch (cause) {
      throw translateNatsError(cause, {});
    }
  }

  onStatus(listener: (status: TransportStatus) => void): Registration {
    return this.#link.onStatus(listener);
  }

  /** Sends what was published and hands over what was received, for at most `DRAIN_TIMEOUT_MS`. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#link.status === 'connected') {
      let timer: NodeJS.Timeout | undefined;
      const expired = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, DRAIN_TIMEOUT_MS);
      });
      // A connection that fails while it drains has nothing left to drain.
      const drained = this.connection.drain().catch(() => undefined);
      await Promise.race([drained, expired]);
      clearTimeout(timer);
    }
    await this.connection.close();
  }

  #call<T>(subject: string, handler: (argument: T) => void, argument: T): void {
    try {
      handler(argument);
    } catch (error) {
      handlerFailed(this.#logger, subject, error);
    }
  }

  #checkSize(subject: string, payload: Uint8Array): void {
    const limit = this.payloadBytesMax;
    if (payload.byteLength > limit) {
      throw invalid('payload', 'payload exceeds what the nats server takes', {
        subject,
        size: payload.byteLength,
        limit,
      });
    }
  }

  #closed(subject: string): PyralogError {
    return new PyralogError({ code: 'closed', message: 'connection is closed', fields: { subject } });
  }
}

/** The server's notice, sent to the reply subject, that a message with one reached nobody. */
function isNoResponders(message: Msg): boolean {
  return (
    message.headers !== undefined && message.headers.code === STATUS_NO_RESPONDERS && message.data.byteLength === 0
  );
}
