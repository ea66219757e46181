/**
 * A network that repeats itself: what sequencers and storage nodes send each other is sent again, late, and out of order.
 */
import type { Registration } from '@pyralog/shared/core';
import type { NatsTransport } from '@pyralog/shared/node';
import { subjects } from './raw.ts';
import type { Seeded } from './seeded.ts';

const REPEATED_SHARE = 0.3;
const DELAY_MS_MAX = 3_000;
/** Messages that wait to be repeated; more are let pass. */
const WAITING_MAX = 2_000;

export class Duplicator {
  readonly #transport: NatsTransport;
  readonly #random: Seeded;
  readonly #registrations: Registration[];
  readonly #timers = new Set<NodeJS.Timeout>();
  repeated = 0;

  constructor(transport: NatsTransport, random: Seeded) {
    this.#transport = transport;
    this.#random = random;
    this.#registrations = ['store', 'resend', 'ack', 'release'].map((kind) =>
      transport.subscribe(`${subjects.prefix}${kind}.>`, ({ subject, payload, replyTo }) => {
        this.#repeat(subject, payload.slice(), replyTo);
      }),
    );
  }

  #repeat(subject: string, payload: Uint8Array, replyTo: string | undefined): void {
    if (this.#timers.size >= WAITING_MAX || this.#random.fraction() >= REPEATED_SHARE) return;
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        if (this.#transport.status !== 'connected') return;
        this.repeated++;
        this.#transport.publish(subject, payload, replyTo);
      },
      this.#random.whole(0, DELAY_MS_MAX),
    );
    this.#timers.add(timer);
  }

  stop(): void {
    for (const registration of this.#registrations) registration.cancel();
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
