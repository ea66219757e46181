/** The nats-server configuration, as text and as a real server reads it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { type NatsConfig, renderNatsConfig } from '../nats-config.ts';
import { natsServer, natsServerSkip } from './nats-server.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const lone: NatsConfig = { serverName: 'nats-1', port: 4222, monitorPort: 8222, storeDirectory: '/data/js' };
const clustered: NatsConfig = {
  ...lone,
  syncInterval: 'always',
  cluster: { name: 'c', port: 6222, ports: [6222, 6223, 6224] },
};

test('a lone server listens on the loopback only and takes frames of 8 MiB', () => {
  assert.equal(
    renderNatsConfig(lone),
    `server_name: "nats-1"
host: "127.0.0.1"
port: 4222
http: "127.0.0.1:8222"
max_payload: 8388608
max_pending: 268435456
jetstream {
  store_dir: "/data/js"
}
`,
  );
});

test('a member of a cluster knows the routes to all members', () => {
  const text = renderNatsConfig(clustered);
  assert.match(text, /sync_interval: always/);
  assert.match(text, /listen: "127\.0\.0\.1:6222"/);
  for (const port of [6222, 6223, 6224]) assert.ok(text.includes(`"nats://127.0.0.1:${port}"`));
});

test('nats-server takes the configuration, also with spaces and quotes in paths', {
  skip: natsServerSkip,
}, async (context) => {
  const directory = await temporaryDirectory(context);
  const { path: binary, version } = await natsServer();
  const knowsSyncInterval = Number(version.split('.')[1]) >= 10;
  for (const config of [lone, { ...clustered, syncInterval: knowsSyncInterval ? 'always' : 'default' } as const]) {
    const file = path.join(directory, 'nats.conf');
    await writeFile(file, renderNatsConfig({ ...config, storeDirectory: path.join(directory, 'a "b" c') }));
    const { status, stderr } = spawnSync(binary, ['-t', '-c', file], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  }
});
