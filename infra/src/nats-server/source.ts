/** A place where a nats-server may come from. */
import type { Logger } from '@pyralog/shared/core';
import type { Environment } from '@pyralog/shared/node';

export interface NatsServerBinary {
  readonly path: string;
  /** `2.12.15`. */
  readonly version: string;
  /** Name of the source, as in the log and in errors. */
  readonly source: string;
}

export interface SourceContext {
  readonly environment: Environment;
  /** Of Pyralog; a server is kept in `nats-server/<version>/nats-server` below it. */
  readonly cacheDirectory: string;
  readonly logger: Logger;
}

export interface NatsServerSource {
  readonly name: string;
  /**
   * Finds or fetches a server that was run with `--version`.
   * @throws Error saying why there is none.
   */
  find(context: SourceContext): Promise<NatsServerBinary>;
}
