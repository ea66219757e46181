/**
 * nats.js 2.29 leaves the socket of a dial that timed out open when the server accepted it but had not yet greeted (a
 * stopped or overloaded server). When that server goes on, the abandoned socket comes to life beside the new connection,
 * and its later end tears the new connection down and doubles its messages. So the socket of every dial that was given
 * up on is destroyed when the next one starts.
 */
import type { Socket } from 'node:net';
import { DebugEvents, type NatsConnection } from 'nats';

/** The part of nats.js' internals that is looked at; absent parts make this do nothing. */
interface Internals {
  readonly protocol?: { readonly transport?: Dial };
}
interface Dial {
  readonly connected?: boolean;
  readonly socket?: Socket;
}

export function closeAbandonedDials(connection: NatsConnection): void {
  const internals = connection as unknown as Internals;
  let last = internals.protocol?.transport;
  void follow();

  async function follow(): Promise<void> {
    for await (const event of connection.status()) {
      if (event.type !== DebugEvents.Reconnecting) continue;
      const current = internals.protocol?.transport;
      if (last !== undefined && last !== current && last.connected === false) last.socket?.destroy();
      last = current;
    }
  }
}
