/**
 * Spares large messages the copies that nats.js 2.29 makes of them.
 *
 * - Received: a message that does not lie within what was read from the socket at once is gathered in a buffer that
 *   doubles until it is large enough, three times the message's bytes in all. Its size is known from the start, so it is
 *   gathered in a buffer of that size.
 * - Sent: everything published in one turn is copied into one new buffer. Small messages gain by that; a large one is
 *   given to the socket as it is, between what was published before and after it.
 *
 * At 100 MB/s those buffers cost more than the rest of the client: they are zeroed, paged in, and collected again. Both
 * changes are made to classes of nats.js, once per process; a version whose insides look different is left alone.
 */
import type { Writable } from 'node:stream';
import type { NatsConnection } from 'nats';

/** Below this a copy costs less than a write of its own. */
export const LARGE_MESSAGE_BYTES = 16 * 1024;

interface Internals {
  readonly protocol?: Protocol;
}

/** nats.js' `ProtocolHandler`. */
interface Protocol {
  readonly parser?: Parser;
  readonly transport?: { readonly socket?: Writable; send?(bytes: Uint8Array): void };
  readonly infoReceived?: boolean;
  readonly connected?: boolean;
  sendCommand?: SendCommand;
  flushPending?(): void;
}
type SendCommand = (this: Protocol, command: string | Uint8Array, ...payloads: Uint8Array[]) => void;

/** nats.js' `Parser`. Between two reads it holds the message that is being received in `msgBuf`. */
interface Parser {
  msgBuf?: GatheredMessage | undefined;
  readonly ma?: { readonly size: number };
  /** Where `msgBuf` is kept here. */
  gathered?: GatheredMessage | undefined;
}

/** nats.js' `DenoBuffer`: `_buf` is what was written so far, at the start of an `ArrayBuffer` with room for more. */
interface GatheredMessage {
  _buf?: unknown;
}

const encoder = new TextEncoder();
const changed = new WeakSet<object>();
/** Sockets that hold back their writes until the end of the turn, so that they go out as one. */
const held = new WeakSet<Writable>();

export function spareLargeMessages(connection: NatsConnection): void {
  const { protocol } = connection as unknown as Internals;
  if (protocol === undefined) return;
  if (protocol.parser !== undefined) changeOnce(protocol.parser, gatherInOneBuffer);
  changeOnce(protocol, sendLargeAsTheyAre);
}

/** Changes the class of `instance`, once. */
function changeOnce<T extends object>(instance: T, change: (prototype: T) => void): void {
  const prototype: T | null = Object.getPrototypeOf(instance);
  if (prototype === null || changed.has(prototype)) return;
  changed.add(prototype);
  change(prototype);
}

function gatherInOneBuffer(prototype: Parser): void {
  Object.defineProperty(prototype, 'msgBuf', {
    configurable: true,
    get(this: Parser) {
      return this.gathered;
    },
    set(this: Parser, message: GatheredMessage | undefined) {
      const size = this.ma?.size ?? 0;
      const begun = message?._buf;
      if (message !== undefined && begun instanceof Uint8Array && begun.byteLength < size) {
        // Not from a pool: the message may be kept, and must not keep others. Not zeroed: all of it will be written.
        const { buffer } = Buffer.allocUnsafeSlow(size);
        const room = new Uint8Array(buffer, 0, begun.byteLength);
        room.set(begun);
        message._buf = room;
      }
      this.gathered = message;
    },
  });
}

function sendLargeAsTheyAre(prototype: Protocol): void {
  const { sendCommand } = prototype;
  if (sendCommand === undefined || prototype.flushPending === undefined) return;
  prototype.sendCommand = function (command, ...payloads) {
    const { transport } = this;
    const socket = transport?.socket;
    const isReady = this.infoReceived === true && this.connected === true && socket !== undefined;
    if (!isReady || transport?.send === undefined || !payloads.some(isLarge)) {
      sendCommand.call(this, command, ...payloads);
      return;
    }
    holdUntilEndOfTurn(socket);
    this.flushPending?.();
    transport.send(typeof command === 'string' ? encoder.encode(command) : command);
    for (const payload of payloads) if (payload.byteLength > 0) transport.send(payload);
  };
}

function isLarge(payload: Uint8Array): boolean {
  return payload.byteLength >= LARGE_MESSAGE_BYTES;
}

function holdUntilEndOfTurn(socket: Writable): void {
  if (held.has(socket)) return;
  held.add(socket);
  socket.cork();
  queueMicrotask(() => {
    held.delete(socket);
    socket.uncork();
  });
}
