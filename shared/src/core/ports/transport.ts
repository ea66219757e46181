/**
 * Core NATS, as `core/` sees it: at most once, in order per publisher and subject, no persistence.
 */
import type { Timer } from './clock.ts';

export interface Message {
  readonly subject: string;
  /** A view of the connection's read buffer: call `detached` before keeping it for long. */
  readonly payload: Uint8Array;
  readonly replyTo: string | undefined;
}

export interface SubscribeOptions {
  /** Members of a queue group share the messages. */
  readonly queue?: string;
  /**
   * Called when a message that this process published with a reply subject of this subscription reached nobody, with
   * that reply subject. Without it the server's notice is dropped; it is never given to the handler.
   */
  readonly onNoResponders?: (replyTo: string) => void;
}

export interface RequestOptions {
  readonly timeoutMs: number;
}

export type TransportStatus = 'connected' | 'disconnected' | 'closed';

/** What ends a subscription or an observation. */
export interface Registration {
  cancel(): void;
}

export interface Transport {
  /** Largest payload that the server takes, bytes. */
  readonly payloadBytesMax: number;
  readonly status: TransportStatus;
  /**
   * Hands the payload to the connection; it must not be changed afterwards. While disconnected the message is dropped,
   * as core NATS may drop any message: whoever needs it resends.
   * @throws PyralogError `closed`; `invalid` when the payload exceeds `payloadBytesMax`.
   */
  publish(subject: string, payload: Uint8Array, replyTo?: string): void;
  /** `handler` must not throw; it runs to completion for one message before the next. */
  subscribe(subject: string, handler: (message: Message) => void, options?: SubscribeOptions): Registration;
  /**
   * One request, one reply.
   * @throws PyralogError `unavailable` (not-applied) when nobody listens or the connection is down, `timeout` (unknown).
   */
  request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Message>;
  /** A subject that only this process listens to. */
  createInbox(): string;
  /** Resolves when the server has processed everything published and subscribed before. */
  flush(): Promise<void>;
  onStatus(listener: (status: TransportStatus) => void): Registration;
  close(): Promise<void>;
}

export type { Timer };
