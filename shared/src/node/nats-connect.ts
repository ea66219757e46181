/**
 * Connecting to NATS.
 *
 * A client gives up at once when no server takes the connection, and after `connectTimeoutMs` at the latest. A service
 * passes `Infinity`: it may start before NATS does and tries for as long as it runs. Once connected, both reconnect for
 * ever, with a jittered delay that grows to `RECONNECT_DELAY_MS_MAX`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, connect, type NatsConnection } from 'nats';
import { describeError, invalid, type Logger, PyralogError } from '../core/index.ts';
import { closeAbandonedDials } from './nats-abandoned-dials.ts';
import { translateNatsError } from './nats-errors.ts';
import { spareLargeMessages } from './nats-large-messages.ts';
import { NatsTransport } from './nats-transport.ts';
import { systemRandom } from './random.ts';
import { redactUserinfo } from './redact.ts';

export interface ConnectNatsOptions {
  /** Servers, comma separated, `nats://[user:password@]host:port` or `tls://…`; a lone user is a token. */
  readonly url: string;
  /** Shown by the server's monitoring. */
  readonly name: string;
  readonly logger: Logger;
  readonly inboxPrefix?: string;
  /** Default true: for ever. */
  readonly reconnect?: boolean;
  /** Of the first connection. Default 5000; `Infinity` tries for ever. */
  readonly connectTimeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** One server's answer to one attempt. */
const DIAL_TIMEOUT_MS = 2_000;
const RECONNECT_DELAY_MS_MIN = 50;
const RECONNECT_DELAY_MS_MAX = 1_000;
/** A server that leaves two pings unanswered is dead: noticed within three intervals. */
const PING_INTERVAL_MS = 2_000;
const PINGS_UNANSWERED_MAX = 2;

/** @throws PyralogError `invalid` (the URL), `unauthorized`, `unavailable`. */
export async function connectNats(options: ConnectNatsOptions): Promise<NatsTransport> {
  const { logger, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
  const parsed = parseUrls(options.url);
  const delays = new ReconnectDelays();
  const shown = redactUserinfo(options.url);
  const dialTimeoutMs = Math.min(DIAL_TIMEOUT_MS, Math.max(1, Math.floor(connectTimeoutMs / parsed.servers.length)));
  const connectionOptions: ConnectionOptions = {
    ...parsed,
    name: options.name,
    timeout: dialTimeoutMs,
    reconnect: options.reconnect ?? true,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => delays.next(),
    ignoreAuthErrorAbort: true,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: PINGS_UNANSWERED_MAX,
    noAsyncTraces: true,
    ...(options.inboxPrefix === undefined ? {} : { inboxPrefix: options.inboxPrefix }),
  };
  for (let attempt = 1; ; attempt++) {
    try {
      const connection = await connectWithin(connectionOptions, connectTimeoutMs);
      closeAbandonedDials(connection);
      spareLargeMessages(connection);
      const transport = new NatsTransport(connection, logger, options.inboxPrefix);
      transport.onStatus((status) => {
        if (status === 'connected') delays.reset();
        logger.info('nats connection changed', { status, url: shown, connection: options.name });
      });
      delays.reset();
      return transport;
    } catch (cause) {
      const error = translateNatsError(cause, { url: shown });
      if (connectTimeoutMs !== Number.POSITIVE_INFINITY) throw error;
      if (attempt === 1 || attempt % 30 === 0) {
        logger.warn('nats is not reachable, trying again', { url: shown, problem: describeError(error) });
      }
      await sleep(delays.next());
    }
  }
}

/** nats.js bounds each attempt but not name resolution; a connection that comes too late is closed. */
async function connectWithin(options: ConnectionOptions, timeoutMs: number): Promise<NatsConnection> {
  const connecting = connect(options);
  if (timeoutMs === Number.POSITIVE_INFINITY) return connecting;
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      connecting.then((connection) => connection.close()).catch(() => undefined);
      reject(new PyralogError({ code: 'unavailable', message: 'nats did not answer in time', fields: { timeoutMs } }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([connecting, expired]);
  } finally {
    clearTimeout(timer);
  }
}

class ReconnectDelays {
  #attempts = 0;

  reset(): void {
    this.#attempts = 0;
  }

  /** Doubles with every attempt up to the maximum; half of it is random. */
  next(): number {
    const ceiling = Math.min(RECONNECT_DELAY_MS_MAX, RECONNECT_DELAY_MS_MIN * 2 ** Math.min(this.#attempts, 10));
    this.#attempts += 1;
    return Math.round(ceiling * (0.5 + systemRandom.fraction() / 2));
  }
}

type ParsedUrls = { servers: string[] } & Pick<ConnectionOptions, 'user' | 'pass' | 'token' | 'tls'>;

/** nats.js takes credentials apart from the servers, and misreads them within. */
function parseUrls(text: string): ParsedUrls {
  const parsed: ParsedUrls = { servers: [] };
  for (const part of text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')) {
    let url: URL;
    try {
      url = new URL(/^[a-z]+:\/\//i.test(part) ? part : `nats://${part}`);
    } catch {
      throw invalid('url', 'nats url is not well formed', { value: redactUserinfo(part) });
    }
    if (!['nats:', 'tls:'].includes(url.protocol) || url.hostname === '') {
      throw invalid('url', 'nats url is not nats://host:port or tls://host:port', { value: redactUserinfo(part) });
    }
    parsed.servers.push(url.port === '' ? url.hostname : `${url.hostname}:${url.port}`);
    if (url.protocol === 'tls:') parsed.tls = {};
    if (url.password !== '') {
      parsed.user = decodeURIComponent(url.username);
      parsed.pass = decodeURIComponent(url.password);
    } else if (url.username !== '') {
      parsed.token = decodeURIComponent(url.username);
    }
  }
  if (parsed.servers.length === 0) throw invalid('url', 'nats url is empty');
  return parsed;
}
