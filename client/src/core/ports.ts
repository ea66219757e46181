/** What the client's core needs of its surroundings. */
import type { Clock, Crc32, Logger, Random, Subjects, Transport } from '@pyralog/shared/core';

export interface ClientPorts {
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly random: Random;
  readonly crc32: Crc32;
  readonly logger: Logger;
}
