/**
 * Core NATS within one process: subjects with wildcards, queue groups, requests, no responders; at most once, in order
 * between one publisher and one subscriber. A test may delay, drop and damage messages, and cut connections.
 *
 * A payload is handed over as it is, not copied: whoever changes bytes that it published, or received from someone who
 * still uses them, is found out.
 */
import {
  invalid,
  type Message,
  PyralogError,
  type Registration,
  type RequestOptions,
  type SubscribeOptions,
  type Transport,
  type TransportStatus,
} from '@pyralog/shared/core';
import type { VirtualClock } from './virtual-clock.ts';

export interface Sent {
  readonly from: string;
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly replyTo: string | undefined;
}

/** What becomes of a message: milliseconds until it arrives, or that it does not, or arrives as other bytes. */
export type Fate = number | 'lost' | { readonly delayMs: number; readonly payload: Uint8Array };

interface Subscription {
  readonly owner: InProcessTransport;
  readonly pattern: readonly string[];
  readonly handler: (message: Message) => void;
  readonly options: SubscribeOptions;
  isCancelled: boolean;
}

export class InProcessNetwork {
  readonly clock: VirtualClock;
  readonly payloadBytesMax: number;
  /** Decides what becomes of a message on its way to `to`. */
  fate: (sent: Sent, to: string) => Fate = () => 0;
  /** Sees every message that is published. */
  onSent: (sent: Sent) => void = () => undefined;
  /** Subscriptions by their first literal tokens would be faster; tests are small. */
  readonly #subscriptions: Subscription[] = [];
  #inboxes = 0;
  #turn = 0;

  constructor(clock: VirtualClock, payloadBytesMax = 1024 * 1024) {
    this.clock = clock;
    this.payloadBytesMax = payloadBytesMax;
  }

  connect(name: string): InProcessTransport {
    return new InProcessTransport(this, name);
  }

  nextInbox(): string {
    return `_INBOX.${this.#inboxes++}`;
  }

  subscriptionsOf(owner: InProcessTransport): number {
    return this.#subscriptions.filter((one) => one.owner === owner).length;
  }

  subscribe(
    owner: InProcessTransport,
    subject: string,
    handler: (message: Message) => void,
    options: SubscribeOptions,
  ): Registration {
    const subscription: Subscription = {
      owner,
      pattern: subject.split('.'),
      handler,
      options,
      isCancelled: false,
    };
    this.#subscriptions.push(subscription);
    return {
      cancel: () => {
        subscription.isCancelled = true;
        const index = this.#subscriptions.indexOf(subscription);
        if (index >= 0) this.#subscriptions.splice(index, 1);
      },
    };
  }

  /** @returns whether anybody listens. */
  publish(from: InProcessTransport, subject: string, payload: Uint8Array, replyTo: string | undefined): boolean {
    const sent: Sent = { from: from.name, subject, payload, replyTo };
    this.onSent(sent);
    const tokens = subject.split('.');
    const matching = this.#subscriptions.filter(
      (one) => one.owner.status === 'connected' && matches(one.pattern, tokens),
    );
    const queues = new Map<string, Subscription[]>();
    for (const subscription of matching) {
      const { queue } = subscription.options;
      if (queue === undefined) this.#deliver(subscription, sent);
      else queues.set(queue, [...(queues.get(queue) ?? []), subscription]);
    }
    for (const members of queues.values()) {
      const chosen = members[this.#turn++ % members.length];
      if (chosen !== undefined) this.#deliver(chosen, sent);
    }
    return matching.length > 0;
  }

  #deliver(subscription: Subscription, sent: Sent): void {
    const fate = this.fate(sent, subscription.owner.name);
    if (fate === 'lost') return;
    const delayMs = typeof fate === 'number' ? fate : fate.delayMs;
    const payload = typeof fate === 'number' ? sent.payload : fate.payload;
    const earliestMs = subscription.owner.arrivals.get(sent.from) ?? 0;
    const atMs = Math.max(earliestMs, this.clock.monotonicMs() + delayMs);
    subscription.owner.arrivals.set(sent.from, atMs);
    const { generation } = subscription.owner;
    this.clock.schedule(atMs - this.clock.monotonicMs(), () => {
      const { owner } = subscription;
      if (subscription.isCancelled || owner.status !== 'connected' || owner.generation !== generation) return;
      subscription.handler({ subject: sent.subject, payload, replyTo: sent.replyTo });
    });
  }
}

export class InProcessTransport implements Transport {
  readonly name: string;
  /** Counts the connections: what was under way on an earlier one is lost. */
  generation = 0;
  /** When the last message of each publisher arrives: a connection keeps their order. */
  readonly arrivals = new Map<string, number>();
  readonly #network: InProcessNetwork;
  readonly #listeners = new Set<(status: TransportStatus) => void>();
  readonly #waiting = new Set<(error: PyralogError) => void>();
  #status: TransportStatus = 'connected';

  constructor(network: InProcessNetwork, name: string) {
    this.#network = network;
    this.name = name;
  }

  get payloadBytesMax(): number {
    return this.#network.payloadBytesMax;
  }

  get status(): TransportStatus {
    return this.#status;
  }

  get requestsWaiting(): number {
    return this.#waiting.size;
  }

  publish(subject: string, payload: Uint8Array, replyTo?: string): void {
    this.#check(payload);
    if (this.#status === 'disconnected') return;
    const isHeard = this.#network.publish(this, subject, payload, replyTo);
    if (!isHeard && replyTo !== undefined) this.#network.clock.defer(() => this.#onNoResponders?.(replyTo));
  }
  #onNoResponders: ((replyTo: string) => void) | undefined;

  subscribe(subject: string, handler: (message: Message) => void, options: SubscribeOptions = {}): Registration {
    this.#check(new Uint8Array(0));
    // A client has one subscription that asks for it.
    if (options.onNoResponders !== undefined) {
      const { onNoResponders } = options;
      const prefix = subject.replace(/\*$/, '');
      const before = this.#onNoResponders;
      this.#onNoResponders = (replyTo) => (replyTo.startsWith(prefix) ? onNoResponders(replyTo) : before?.(replyTo));
    }
    return this.#network.subscribe(this, subject, handler, options);
  }

  request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Message> {
    return new Promise((resolve, reject) => {
      this.#check(payload);
      if (this.#status === 'disconnected') {
        throw new PyralogError({
          code: 'unavailable',
          message: 'not connected to nats',
          fields: { reason: 'disconnected' },
        });
      }
      const inbox = this.createInbox();
      const finish = (): void => {
        subscription.cancel();
        timer.cancel();
        this.#waiting.delete(fail);
      };
      const fail = (error: PyralogError): void => {
        finish();
        reject(error);
      };
      const timer = this.#network.clock.schedule(options.timeoutMs, () =>
        fail(new PyralogError({ code: 'timeout', message: 'no reply in time' })),
      );
      const subscription = this.#network.subscribe(
        this,
        inbox,
        (message) => {
          finish();
          resolve(message);
        },
        {},
      );
      this.#waiting.add(fail);
      if (this.#network.publish(this, subject, payload, inbox)) return;
      this.#network.clock.defer(() => {
        if (!this.#waiting.has(fail)) return;
        const fields = { subject, reason: 'no-responders' };
        fail(new PyralogError({ code: 'unavailable', message: 'nobody listens to the subject', fields }));
      });
    });
  }

  createInbox(): string {
    return this.#network.nextInbox();
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  onStatus(listener: (status: TransportStatus) => void): Registration {
    this.#listeners.add(listener);
    return { cancel: () => this.#listeners.delete(listener) };
  }

  close(): Promise<void> {
    this.#become('closed');
    return Promise.resolve();
  }

  disconnect(): void {
    this.#become('disconnected');
  }

  reconnect(): void {
    this.generation++;
    this.#become('connected');
  }

  #become(status: TransportStatus): void {
    if (this.#status === status || this.#status === 'closed') return;
    this.#status = status;
    if (status !== 'connected') {
      const code = status === 'closed' ? 'closed' : 'timeout';
      for (const fail of [...this.#waiting]) {
        fail(new PyralogError({ code, message: 'connection was lost before the reply', outcome: 'unknown' }));
      }
    }
    for (const listener of [...this.#listeners]) listener(status);
  }

  #check(payload: Uint8Array): void {
    if (this.#status === 'closed') throw new PyralogError({ code: 'closed', message: 'connection is closed' });
    if (payload.byteLength <= this.payloadBytesMax) return;
    throw invalid('payload', 'payload exceeds what the nats server takes', { size: payload.byteLength });
  }
}

function matches(pattern: readonly string[], tokens: readonly string[]): boolean {
  for (const [index, token] of pattern.entries()) {
    if (token === '>') return index < tokens.length;
    if (index >= tokens.length || (token !== '*' && token !== tokens[index])) return false;
  }
  return pattern.length === tokens.length;
}
