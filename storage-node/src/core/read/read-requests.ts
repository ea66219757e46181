/**
 * Takes read requests: checks them, bounds how many run and wait, and ends every stream, with the error if there is one.
 */
import {
  decodeMessage,
  describeError,
  encodeFailure,
  encodeReadMessage,
  LIMITS,
  type Message,
  PyralogError,
  type ReadRequest,
  readRequestSchema,
  type Subjects,
  subjectToken,
} from '@pyralog/shared/core';
import type { LogDirectory } from '../log-directory.ts';
import type { RateLimitedWarnings } from '../rate-limited-warnings.ts';
import { CopysetTables } from './copyset-tables.ts';
import { ReadStream, type ReadStreamOptions } from './read-stream.ts';
import { Turnstile } from './turnstile.ts';

export interface ReadRequestsOptions extends ReadStreamOptions {
  readonly logs: LogDirectory;
  readonly subjects: Subjects;
  readonly warnings: RateLimitedWarnings;
  /** A programmer's error: the process must stop. */
  readonly onFatal: (reason: unknown) => void;
}

export class ReadRequests {
  readonly #options: ReadRequestsOptions;
  readonly #tables = new CopysetTables();
  readonly #turnstile = new Turnstile(LIMITS.readsInFlightMax);
  #closed = false;

  constructor(options: ReadRequestsOptions) {
    this.#options = options;
  }

  /** Takes a request and answers it in time. Never throws. */
  receive(message: Message): void {
    const { counters, warnings } = this.#options;
    const { replyTo } = message;
    counters.reads++;
    if (replyTo === undefined || !this.#mayReplyTo(replyTo)) {
      counters.refusedReads++;
      warnings.warn('read has no reply subject that may be used', { subject: message.subject });
      return;
    }
    let request: ReadRequest;
    try {
      request = this.#admit(message);
    } catch (reason) {
      this.#fail(replyTo, 0, reason);
      return;
    }
    void this.#turnstile.pass(() => this.#serve(request, replyTo));
  }

  /** Ends the streams that run and refuses those that wait; resolves when none is left. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turnstile.idle();
  }

  /** A reply goes out with this process' rights: never to the cluster's own subjects, nor to the server's. */
  #mayReplyTo(replyTo: string): boolean {
    return !replyTo.startsWith(this.#options.subjects.prefix) && !replyTo.startsWith('$');
  }

  #admit(message: Message): ReadRequest {
    const { logs, subjects } = this.#options;
    const request = decodeMessage(readRequestSchema, message.payload);
    const { partitionId } = request;
    const namespace = subjectToken(subjects.prefix, message.subject, 1);
    const known = logs.namespaceOf(partitionId);
    if (known === undefined) {
      throw new PyralogError({ code: 'unavailable', message: 'partition is not known here', fields: { partitionId } });
    }
    if (known !== namespace) {
      throw new PyralogError({
        code: 'unauthorized',
        message: 'partition is not of this namespace',
        fields: { partitionId, namespace },
      });
    }
    if (this.#turnstile.waiting >= LIMITS.readsQueuedMax) {
      const fields = { queued: this.#turnstile.waiting, limit: LIMITS.readsQueuedMax };
      throw new PyralogError({ code: 'overloaded', message: 'too many reads wait at this node', fields });
    }
    return request;
  }

  async #serve(request: ReadRequest, replyTo: string): Promise<void> {
    let stream: ReadStream | undefined;
    try {
      stream = new ReadStream(this.#options, request, this.#tables.get(request.placement), replyTo, () => this.#closed);
      await stream.run();
    } catch (reason) {
      if (!(reason instanceof PyralogError)) this.#options.onFatal(reason);
      this.#fail(replyTo, stream?.sequence ?? 0, reason);
    }
  }

  #fail(replyTo: string, sequence: number, reason: unknown): void {
    this.#options.counters.refusedReads++;
    try {
      this.#options.transport.publish(replyTo, encodeReadMessage('end', sequence, [encodeFailure(reason)]));
    } catch (cause) {
      this.#options.warnings.warn('read was not answered', { problem: describeError(cause) });
    }
  }
}
