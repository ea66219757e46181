/**
 * Read requests of one reader, and the streams of messages that answer them.
 *
 * All streams come in on one subscription, each under its own last token, so that what a cancelled request still sends is
 * told apart and dropped. Messages of a stream are counted: one that is missing ends the stream as `lost`.
 */
import {
  decodeReadMessage,
  decodeReply,
  encodeMessage,
  type Message,
  type PyralogError,
  type ReadEnd,
  type ReadMessage,
  type ReadRequest,
  type Registration,
  readEndSchema,
  type StorageNodeId,
  type Timer,
} from '@pyralog/shared/core';
import type { ClientPorts } from '../ports.ts';
import { asPyralogError } from '../producer/append-failure.ts';
import { SETTINGS } from '../settings.ts';

/**
 * Why a stream ended without its end. `absent`: nobody listens. `silent`: nothing came for too long. `lost`: a message is
 * missing. `malformed`: a message cannot be read. `refused`: the node answered with an error.
 */
export type ReadFailure =
  | { readonly kind: 'absent' | 'silent' | 'lost' | 'malformed' }
  | { readonly kind: 'refused'; readonly error: PyralogError };

/** After `onEnd` or `onFailure` nothing is called any more. */
export interface ReadHandlers {
  /** Frames one after another, not verified. The bytes are views of the connection's buffer. */
  onFrames(bytes: Uint8Array): void;
  onEnd(end: ReadEnd): void;
  onFailure(failure: ReadFailure): void;
}

export class ReadRequests {
  readonly #ports: ClientPorts;
  readonly #namespace: string;
  readonly #inbox: string;
  readonly #streams = new Map<string, ReadStream>();
  readonly #subscription: Registration;
  #count = 0;

  constructor(ports: ClientPorts, namespace: string) {
    this.#ports = ports;
    this.#namespace = namespace;
    this.#inbox = ports.transport.createInbox();
    this.#subscription = ports.transport.subscribe(`${this.#inbox}.*`, (message) => this.#received(message), {
      onNoResponders: (replyTo) => this.#streams.get(this.#token(replyTo))?.fail({ kind: 'absent' }),
    });
  }

  send(nodeId: StorageNodeId, request: ReadRequest, handlers: ReadHandlers): Registration {
    const { transport, subjects, clock } = this.#ports;
    const token = String(this.#count++);
    const stream = new ReadStream(handlers, clock, () => this.#streams.delete(token));
    this.#streams.set(token, stream);
    try {
      transport.publish(subjects.read(this.#namespace, nodeId), encodeMessage(request), `${this.#inbox}.${token}`);
    } catch (error) {
      // Not from within the caller: it does not have the registration yet.
      clock.defer(() => stream.fail({ kind: 'refused', error: asPyralogError(error) }));
    }
    return stream;
  }

  close(): void {
    this.#subscription.cancel();
    for (const stream of [...this.#streams.values()]) stream.cancel();
  }

  #received(message: Message): void {
    this.#streams.get(this.#token(message.subject))?.received(message.payload);
  }

  #token(subject: string): string {
    return subject.slice(this.#inbox.length + 1);
  }
}

class ReadStream implements Registration {
  readonly #handlers: ReadHandlers;
  readonly #clock: ClientPorts['clock'];
  readonly #onOver: () => void;
  #sequence = 0;
  #heardMs: number;
  #silence: Timer;
  #isOver = false;

  constructor(handlers: ReadHandlers, clock: ClientPorts['clock'], onOver: () => void) {
    this.#handlers = handlers;
    this.#clock = clock;
    this.#onOver = onOver;
    this.#heardMs = clock.monotonicMs();
    this.#silence = clock.schedule(SETTINGS.readSilenceMs, () => this.#checkSilence());
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#silence.cancel();
    this.#onOver();
  }

  fail(failure: ReadFailure): void {
    if (this.#isOver) return;
    this.cancel();
    this.#handlers.onFailure(failure);
  }

  received(payload: Uint8Array): void {
    if (this.#isOver) return;
    this.#heardMs = this.#clock.monotonicMs();
    const message = readMessage(payload);
    if (message === undefined) {
      this.fail({ kind: 'malformed' });
      return;
    }
    if (message.sequence !== this.#sequence) {
      this.fail({ kind: 'lost' });
      return;
    }
    this.#sequence++;
    if (message.kind === 'frames') {
      this.#handlers.onFrames(message.bytes);
      return;
    }
    const end = readEnd(message.bytes);
    if ('kind' in end) {
      this.fail(end);
      return;
    }
    this.cancel();
    this.#handlers.onEnd(end);
  }

  /** One timer per stream rather than one per message. */
  #checkSilence(): void {
    const silentMs = this.#clock.monotonicMs() - this.#heardMs;
    if (silentMs >= SETTINGS.readSilenceMs) {
      this.fail({ kind: 'silent' });
      return;
    }
    this.#silence = this.#clock.schedule(SETTINGS.readSilenceMs - silentMs, () => this.#checkSilence());
  }
}

function readMessage(payload: Uint8Array): ReadMessage | undefined {
  try {
    return decodeReadMessage(payload);
  } catch {
    return undefined;
  }
}

function readEnd(bytes: Uint8Array): ReadEnd | ReadFailure {
  try {
    return decodeReply(readEndSchema, bytes);
  } catch (reason) {
    const error = asPyralogError(reason);
    // A reply that cannot be read says nothing, which is what its outcome is then.
    return error.code === 'invalid' && error.outcome === 'unknown' ? { kind: 'malformed' } : { kind: 'refused', error };
  }
}
