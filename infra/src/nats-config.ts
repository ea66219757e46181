/** The configuration of a nats-server: loopback only, JetStream on, limits as the data path wants them. */

export interface NatsConfig {
  readonly serverName: string;
  readonly port: number;
  readonly monitorPort: number;
  /** Of JetStream. */
  readonly storeDirectory: string;
  /** `always`: JetStream syncs every write before it acknowledges (from nats-server 2.10 on). Default: every 2 minutes. */
  readonly syncInterval?: 'always' | 'default';
  /** This server is one of several that form a cluster. */
  readonly cluster?: {
    readonly name: string;
    readonly port: number;
    /** Cluster ports of all members. */
    readonly ports: readonly number[];
  };
}

const MIB = 1024 * 1024;
/** Room for the largest frame and its control bytes. */
export const NATS_PAYLOAD_BYTES_MAX = 8 * MIB;
/** Of one connection that reads too slowly, before the server drops it: several commits of a storage node. */
const NATS_PENDING_BYTES_MAX = 256 * MIB;
const HOST = '127.0.0.1';

export function renderNatsConfig(config: NatsConfig): string {
  const { cluster } = config;
  const lines = [
    `server_name: ${quoted(config.serverName)}`,
    `host: ${quoted(HOST)}`,
    `port: ${config.port}`,
    `http: ${quoted(`${HOST}:${config.monitorPort}`)}`,
    `max_payload: ${NATS_PAYLOAD_BYTES_MAX}`,
    `max_pending: ${NATS_PENDING_BYTES_MAX}`,
    'jetstream {',
    `  store_dir: ${quoted(config.storeDirectory)}`,
    ...(config.syncInterval === 'always' ? ['  sync_interval: always'] : []),
    '}',
  ];
  if (cluster !== undefined) {
    lines.push(
      'cluster {',
      `  name: ${quoted(cluster.name)}`,
      `  listen: ${quoted(`${HOST}:${cluster.port}`)}`,
      '  routes: [',
    );
    for (const port of cluster.ports) lines.push(`    ${quoted(`nats://${HOST}:${port}`)}`);
    lines.push('  ]', '}');
  }
  return `${lines.join('\n')}\n`;
}

/** A quoted string of the NATS configuration language, whose escapes are those of JSON as far as paths need them. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
