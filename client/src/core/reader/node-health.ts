/**
 * Which storage nodes a reader does without, because they did not answer. Shared by its partitions, so that one of them
 * pays for the discovery. A node that is excluded is tried again with growing delays and comes back when it answers.
 */
import type { Offset, ReadRequest, Registration, StorageNodeId, Timer } from '@pyralog/shared/core';
import { Backoff } from '../backoff.ts';
import type { ClientPorts } from '../ports.ts';
import { SETTINGS } from '../settings.ts';
import type { ReaderNotice } from './options.ts';
import type { ReadRequests } from './read-requests.ts';

interface Excluded {
  readonly backoff: Backoff;
  readonly request: ReadRequest;
  timer: Timer | undefined;
  probe: Registration | undefined;
}

export class NodeHealth {
  readonly #ports: ClientPorts;
  readonly #reads: ReadRequests;
  readonly #notice: (notice: ReaderNotice) => void;
  readonly #excluded = new Map<StorageNodeId, Excluded>();
  readonly #listeners = new Set<() => void>();
  readonly #status: Registration;
  #version = 0;

  constructor(ports: ClientPorts, reads: ReadRequests, notice: (notice: ReaderNotice) => void) {
    this.#ports = ports;
    this.#reads = reads;
    this.#notice = notice;
    this.#status = ports.transport.onStatus((status) => {
      // Whom we could not hear while we were cut off need not wait for its turn.
      if (status === 'connected') for (const [nodeId, excluded] of this.#excluded) this.#tryAgain(nodeId, excluded);
    });
  }

  /** Another number after every change. */
  get version(): number {
    return this.#version;
  }

  isExcluded(nodeId: StorageNodeId): boolean {
    return this.#excluded.has(nodeId);
  }

  onChange(listener: () => void): Registration {
    this.#listeners.add(listener);
    return { cancel: () => this.#listeners.delete(listener) };
  }

  /** The node did not answer `request`. */
  failed(nodeId: StorageNodeId, request: ReadRequest, reason: string): void {
    if (this.#excluded.has(nodeId)) return;
    const { nodeRetryMsMin: delayMsMin, nodeRetryMsMax: delayMsMax } = SETTINGS;
    const excluded: Excluded = {
      backoff: new Backoff(this.#ports.random, { delayMsMin, delayMsMax }),
      request: { ...request, until: (request.from + 1) as Offset, credit: 1 },
      timer: undefined,
      probe: undefined,
    };
    this.#excluded.set(nodeId, excluded);
    this.#schedule(nodeId, excluded);
    this.#notice({ kind: 'node-silent', nodeId, reason });
    this.#changed();
  }

  /** The node answered. */
  answered(nodeId: StorageNodeId): void {
    const excluded = this.#excluded.get(nodeId);
    if (excluded === undefined) return;
    excluded.timer?.cancel();
    excluded.probe?.cancel();
    this.#excluded.delete(nodeId);
    this.#notice({ kind: 'node-back', nodeId });
    this.#changed();
  }

  close(): void {
    this.#status.cancel();
    for (const { timer, probe } of this.#excluded.values()) {
      timer?.cancel();
      probe?.cancel();
    }
    this.#excluded.clear();
  }

  #schedule(nodeId: StorageNodeId, excluded: Excluded): void {
    excluded.timer = this.#ports.clock.schedule(excluded.backoff.next(), () => this.#tryAgain(nodeId, excluded));
  }

  #tryAgain(nodeId: StorageNodeId, excluded: Excluded): void {
    excluded.timer?.cancel();
    excluded.probe?.cancel();
    excluded.probe = this.#reads.send(nodeId, excluded.request, {
      onFrames: () => this.answered(nodeId),
      onEnd: () => this.answered(nodeId),
      onFailure: () => this.#schedule(nodeId, excluded),
    });
  }

  #changed(): void {
    this.#version++;
    for (const listener of [...this.#listeners]) listener();
  }
}
