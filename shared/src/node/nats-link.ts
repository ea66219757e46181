/**
 * What every user of one NATS connection shares: its status, and requests that fail as soon as the connection does
 * rather than at their timeout. One link per connection.
 */
import { DebugEvents, Events, type Msg, type MsgHdrs, type NatsConnection } from 'nats';
import { assert, type Logger, PyralogError, type Registration, type TransportStatus } from '../core/index.ts';
import { handlerFailed, translateNatsError } from './nats-errors.ts';

export interface LinkRequestOptions {
  readonly timeoutMs: number;
  readonly headers?: MsgHdrs;
}

const links = new WeakMap<NatsConnection, NatsLink>();

/** The link of `connection`, made at first use. */
export function linkOf(connection: NatsConnection, logger: Logger): NatsLink {
  let link = links.get(connection);
  if (link === undefined) {
    link = new NatsLink(connection, logger);
    links.set(connection, link);
  }
  return link;
}

export class NatsLink {
  readonly connection: NatsConnection;
  readonly #logger: Logger;
  readonly #listeners = new Set<(status: TransportStatus) => void>();
  /** Fails each request that waits for its reply. */
  readonly #waiting = new Set<(error: PyralogError) => void>();
  #status: TransportStatus;

  constructor(connection: NatsConnection, logger: Logger) {
    this.connection = connection;
    this.#logger = logger;
    this.#status = connection.isClosed() ? 'closed' : 'connected';
    void this.#follow();
    void connection.closed().then(() => this.#become('closed'));
  }

  get status(): TransportStatus {
    return this.#status;
  }

  onStatus(listener: (status: TransportStatus) => void): Registration {
    this.#listeners.add(listener);
    return { cancel: () => this.#listeners.delete(listener) };
  }

  /** @throws PyralogError `unavailable`, `timeout`, `unauthorized`, `closed`. */
  request(subject: string, payload: Uint8Array, options: LinkRequestOptions): Promise<Msg> {
    assert(options.timeoutMs >= 1, 'request without a timeout');
    if (this.#status !== 'connected') return Promise.reject(this.notConnected(subject));
    const { timeoutMs: timeout, headers } = options;
    return new Promise((resolve, reject) => {
      const fail = (error: PyralogError): void => {
        this.#waiting.delete(fail);
        reject(error);
      };
      this.#waiting.add(fail);
      this.connection.request(subject, payload, headers === undefined ? { timeout } : { timeout, headers }).then(
        (message) => {
          this.#waiting.delete(fail);
          resolve(message);
        },
        (reason: unknown) =>
          fail(
            this.#status === 'closed'
              ? this.#lost(subject)
              : translateNatsError(reason, { subject, timeoutMs: timeout }),
          ),
      );
    });
  }

  /** Nothing was sent, because there is no connection. */
  notConnected(subject: string): PyralogError {
    return this.#status === 'closed'
      ? new PyralogError({ code: 'closed', message: 'connection is closed', fields: { subject } })
      : new PyralogError({
          code: 'unavailable',
          message: 'not connected to nats',
          fields: { subject, reason: 'disconnected' },
        });
  }

  /** Something was sent; whether it arrived is not known. */
  #lost(subject?: string): PyralogError {
    const code = this.#status === 'closed' ? 'closed' : 'timeout';
    return new PyralogError({
      code,
      message: 'connection was lost before the reply',
      outcome: 'unknown',
      fields: { subject, reason: 'disconnected' },
    });
  }

  async #follow(): Promise<void> {
    for await (const event of this.connection.status()) {
      if (event.type === Events.Disconnect) this.#become('disconnected');
      else if (event.type === Events.Reconnect) this.#become('connected');
      else if (event.type === Events.Error)
        this.#logger.warn('nats reported an error', { problem: event.data, permission: event.permissionContext });
      else if (event.type === DebugEvents.StaleConnection) this.#logger.warn('nats does not answer pings');
      else if (event.type === Events.LDM) this.#logger.info('nats server is shutting down', { server: event.data });
    }
  }

  #become(status: TransportStatus): void {
    if (this.#status === status || this.#status === 'closed') return;
    this.#status = status;
    if (status !== 'connected') {
      for (const fail of [...this.#waiting]) fail(this.#lost());
    }
    for (const listener of [...this.#listeners]) {
      try {
        listener(status);
      } catch (error) {
        handlerFailed(this.#logger, 'status', error);
      }
    }
  }
}
