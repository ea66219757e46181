/** Says every `heartbeatIntervalMs` that this node is alive, in which state, and how much it holds. */
import {
  type Clock,
  describeError,
  encodeMessage,
  type Logger,
  type StorageNodeHeartbeat,
  type Subjects,
  type Timer,
  type Transport,
} from '@pyralog/shared/core';

export interface HeartbeatsOptions {
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
  readonly describe: () => StorageNodeHeartbeat;
}

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#beat();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #beat(): void {
    if (this.#stopped) return;
    const { transport, subjects, clock, logger, intervalMs, describe } = this.#options;
    const heartbeat = describe();
    try {
      transport.publish(subjects.heartbeat('storage-node', heartbeat.id), encodeMessage(heartbeat));
    } catch (reason) {
      logger.debug('heartbeat was not sent', { problem: describeError(reason) });
    }
    this.#timer = clock.schedule(intervalMs, () => this.#beat());
  }
}
