/** How a process of the ceiling is connected, and what its collector is told. */
import { silentLogger } from '@pyralog/shared/core';
import { collectGarbageLessOften, connectNats } from '@pyralog/shared/node';
import { connect, type NatsConnection } from 'nats';

/** `plain`: nats.js and Node.js as they come. `tuned`: with what Pyralog's own processes do about both. */
export type CeilingVariant = 'plain' | 'tuned';

export async function connectCeiling(options: {
  readonly variant: CeilingVariant;
  readonly natsUrl: string;
  readonly name: string;
}): Promise<NatsConnection> {
  const { variant, natsUrl, name } = options;
  if (variant === 'plain') return connect({ servers: natsUrl, name });
  collectGarbageLessOften();
  return (await connectNats({ url: natsUrl, name, logger: silentLogger })).connection;
}
