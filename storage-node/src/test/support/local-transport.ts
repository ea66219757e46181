/** The `Transport` port within a process: what a storage node publishes is kept, and handed to subscribers at once. */
import type { Message, Registration, Transport } from '@pyralog/shared/core';
import { decodeStoreAcks, PyralogError, type StoreAck } from '@pyralog/shared/core';

export class LocalTransport implements Transport {
  payloadBytesMax = 1024 * 1024;
  readonly status = 'connected';
  readonly published: { subject: string; payload: Uint8Array }[] = [];
  readonly #handlers = new Map<string, (message: Message) => void>();
  #inboxes = 0;

  publish(subject: string, payload: Uint8Array): void {
    if (payload.byteLength > this.payloadBytesMax)
      throw new PyralogError({ code: 'invalid', message: 'payload is too large' });
    this.published.push({ subject, payload });
    this.#handlers.get(subject)?.({ subject, payload, replyTo: undefined });
  }

  subscribe(subject: string, handler: (message: Message) => void): Registration {
    this.#handlers.set(subject, handler);
    return { cancel: () => this.#handlers.delete(subject) };
  }

  request(): Promise<Message> {
    return Promise.reject(new PyralogError({ code: 'unavailable', message: 'nobody listens' }));
  }

  createInbox(): string {
    return `_INBOX.${++this.#inboxes}`;
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  onStatus(): Registration {
    return { cancel: () => undefined };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Every acknowledgement published so far, in order. */
  get acks(): StoreAck[] {
    return this.published
      .filter(({ subject }) => subject.includes('.ack.'))
      .flatMap(({ payload }) => [...decodeStoreAcks(payload).acks]);
  }

  /** `partition:base=verdict` of every acknowledgement. */
  get verdicts(): string[] {
    return this.acks.map((ack) => `${ack.partitionId}:${ack.baseOffset}=${ack.verdict}`);
  }
}
