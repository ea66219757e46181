/** One connection to a cluster, and what is done over it. */
import { PyralogError, parseLogName } from '@pyralog/shared/core';
import { Admin } from './admin.ts';
import { PartitionStatuses } from './partition-statuses.ts';
import type { ClientPorts } from './ports.ts';
import type { ProducerOptions } from './producer/options.ts';
import { Producer } from './producer/producer.ts';
import type { ReaderOptions } from './reader/options.ts';
import { Reader } from './reader/reader.ts';
import { Topologies } from './topology.ts';

export class PyralogClient {
  readonly admin: Admin;
  readonly #ports: ClientPorts;
  readonly #topologies: Topologies;
  readonly #statuses: PartitionStatuses;
  readonly #producers = new Set<Producer>();
  readonly #readers = new Set<Reader>();
  #closing: Promise<void> | undefined;

  constructor(ports: ClientPorts) {
    this.#ports = ports;
    this.#topologies = new Topologies(ports);
    this.#statuses = new PartitionStatuses(ports);
    this.admin = new Admin(ports, this.#statuses);
  }

  /**
   * A producer for `namespace/name`. The log is looked up in the background: that there is none shows at the first call.
   * @throws PyralogError `invalid` naming the option and its limit, `closed`.
   */
  producer(log: string, options: ProducerOptions = {}): Producer {
    this.#checkOpen();
    const topology = this.#topologies.open(parseLogName(log));
    try {
      const producer: Producer = new Producer(this.#ports, topology, options, () => this.#producers.delete(producer));
      this.#producers.add(producer);
      return producer;
    } catch (error) {
      topology.release();
      throw error;
    }
  }

  /**
   * A reader of `namespace/name`. It starts when it is first iterated.
   * @throws PyralogError `invalid` naming the option and its limit, `closed`.
   */
  reader(log: string, options: ReaderOptions = {}): Reader {
    this.#checkOpen();
    const topology = this.#topologies.open(parseLogName(log));
    try {
      const onClosed = (): void => {
        this.#readers.delete(reader);
      };
      const reader: Reader = new Reader({
        ports: this.#ports,
        topology,
        statuses: this.#statuses,
        options,
        onClosed,
      });
      this.#readers.add(reader);
      return reader;
    } catch (error) {
      topology.release();
      throw error;
    }
  }

  /**
   * Ends readers, flushes and closes producers, closes the connection.
   * @throws PyralogError the first failure of a producer's flush; everything is closed all the same.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    for (const reader of [...this.#readers]) await reader.close();
    const closed = await Promise.allSettled([...this.#producers].map((producer) => producer.close()));
    this.#topologies.close();
    await this.#ports.transport.close();
    for (const result of closed) if (result.status === 'rejected') throw result.reason;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new PyralogError({ code: 'closed', message: 'client is closed' });
  }
}
