/** The Pyralog client on Node.js: one NATS connection, the system's clock and randomness, zlib's CRC-32. */
import { invalid, isNamespace, type Logger, Subjects, silentLogger } from '@pyralog/shared/core';
import { connectNats, nativeCrc32, systemClock, systemRandom } from '@pyralog/shared/node';
import { PyralogClient } from './core/index.ts';

export * from './core/index.ts';

export interface ConnectOptions {
  /** NATS servers, comma separated. */
  readonly url: string;
  /** Default `pyralog`. */
  readonly clusterName?: string | undefined;
  /** Of the connection, as NATS shows it. Default `pyralog-client`. */
  readonly name?: string | undefined;
  /** Default 5000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Default: silent. */
  readonly logger?: Logger | undefined;
}

/**
 * Connects to a cluster. The connection is kept up: when it is lost, producers resend and readers go on once it is back.
 * @throws PyralogError `invalid` naming the option; `unavailable` when NATS cannot be reached in time, `unauthorized`.
 */
export async function connect(options: ConnectOptions): Promise<PyralogClient> {
  const { url, clusterName = 'pyralog', name = 'pyralog-client', connectTimeoutMs, logger = silentLogger } = options;
  if (!isNamespace(clusterName)) {
    throw invalid('clusterName', 'cluster name is not 1 to 64 letters, digits, _ or -', { value: clusterName });
  }
  const transport = await connectNats({
    url,
    name,
    logger,
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
  });
  return new PyralogClient({
    transport,
    subjects: new Subjects(clusterName),
    clock: systemClock,
    random: systemRandom,
    crc32: nativeCrc32,
    logger,
  });
}
