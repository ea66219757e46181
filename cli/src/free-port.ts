/** Whether a port of 127.0.0.1 can be listened on, asked before anything is started so that the error can name it. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { PyralogError } from '@pyralog/shared/core';

/** @throws PyralogError `unavailable` when something else listens on `port`. 0, any free port, always passes. */
export async function requireFreePort(port: number): Promise<void> {
  if (port === 0) return;
  const server = createServer();
  try {
    server.listen({ port, host: '127.0.0.1', exclusive: true });
    await once(server, 'listening');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'EADDRINUSE') {
      throw new PyralogError({
        code: 'unavailable',
        message: 'port is in use',
        fields: { field: '--port', port },
        cause,
      });
    }
    throw cause;
  }
  server.close();
  await once(server, 'close');
}
