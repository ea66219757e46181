/** `NatsTransport` on a real nats-server: the port's conformance, and what happens when the server goes away. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DebugEvents } from 'nats';
import { type LogFields, type Logger, silentLogger, type TransportStatus, text, utf8 } from '../core/index.ts';
import { connectNats, NatsMetadataStore } from '../node/index.ts';
import { failure, transportConformance } from './conformance/transport.ts';
import {
  eventually,
  freePort,
  listening,
  natsServerSkip,
  portOf,
  startTestNatsServer,
  type TestNatsServer,
} from './nats-server.ts';

let server: TestNatsServer;
before(async () => {
  if (natsServerSkip === false) server = await startTestNatsServer();
});
after(() => server?.dispose());

const connect = (url = server.url) => connectNats({ url, name: 'test', logger: silentLogger });
const options = { skip: natsServerSkip, timeout: 60_000 };

transportConformance({ name: 'nats transport', skip: natsServerSkip, connect: () => connect() });

test('an unreachable server is unavailable at once for a client', { timeout: 10_000 }, async () => {
  const port = await freePort();
  const started = performance.now();
  const error = await failure(connect(`nats://user:secret@127.0.0.1:${port}`));
  assert.equal(error.code, 'unavailable');
  assert.equal(error.outcome, 'not-applied');
  assert.doesNotMatch(JSON.stringify(error.fields), /secret/);
  assert.ok(performance.now() - started < 2_000);
});

test('a server that accepts but does not greet is unavailable within the connect timeout', {
  timeout: 10_000,
}, async () => {
  const sockets: Socket[] = [];
  const mute = await listening(createServer((socket) => sockets.push(socket)));
  const error = await failure(
    connectNats({ url: `127.0.0.1:${portOf(mute)}`, name: 'test', logger: silentLogger, connectTimeoutMs: 300 }),
  );
  assert.equal(error.code, 'unavailable');
  for (const socket of sockets) socket.destroy();
  mute.close();
});

test('a malformed url is invalid and its credentials are not shown', async () => {
  for (const url of ['', 'http://user:secret@127.0.0.1', 'nats://user:secret@:x', ',']) {
    const error = await failure(connect(url));
    assert.equal(error.code, 'invalid');
    assert.doesNotMatch(JSON.stringify(error.fields), /secret/);
  }
});

test('credentials in the url are used, and wrong ones are unauthorized', options, async () => {
  const guarded = await startGuarded();
  try {
    const transport = await connect(`nats://alice:s%40crt1:2@127.0.0.1:${guarded.port}`.replace('1:2', '12'));
    await transport.flush();
    await transport.close();
    const error = await failure(connect(`nats://alice:wrong@127.0.0.1:${guarded.port}`));
    assert.equal(error.code, 'unauthorized');
    assert.doesNotMatch(JSON.stringify(error.fields), /wrong/);
  } finally {
    await guarded.dispose();
  }
});

async function startGuarded(): Promise<TestNatsServer> {
  // The readiness probe of the helper has no credentials, so it gets a user of its own by default.
  return startTestNatsServer(`
    accounts: { A: { users: [{ user: alice, password: "s@crt12" }] }, P: { users: [{ user: probe, password: probe }] } }
    no_auth_user: probe
  `);
}

test('a service may start before nats does', options, async () => {
  const own = await startTestNatsServer();
  await own.stop('SIGKILL');
  try {
    const connecting = connectNats({
      url: own.url,
      name: 'test',
      logger: silentLogger,
      connectTimeoutMs: Number.POSITIVE_INFINITY,
    });
    await own.start();
    const transport = await connecting;
    await transport.flush();
    await transport.close();
  } finally {
    await own.dispose();
  }
});

test(
  'while the server is away messages are dropped and requests fail; then the subscriptions are back',
  options,
  async () => {
    const own = await startTestNatsServer();
    try {
      const transport = await connect(own.url);
      const statuses: TransportStatus[] = [];
      transport.onStatus((status) => statuses.push(status));
      const got: string[] = [];
      transport.subscribe('news', (message) => got.push(text(message.payload)));
      transport.subscribe('mute', () => undefined);
      await transport.flush();

      const waiting = failure(transport.request('mute', utf8(''), { timeoutMs: 50_000 }));
      await own.stop('SIGKILL');
      await eventually('disconnected', () => transport.status === 'disconnected');
      const lost = await waiting;
      assert.deepEqual([lost.code, lost.outcome], ['timeout', 'unknown']);
      for (let index = 0; index < 1_000; index++) transport.publish('news', new Uint8Array(100_000));
      const refused = await failure(transport.request('mute', utf8(''), { timeoutMs: 50_000 }));
      assert.deepEqual(
        [refused.code, refused.outcome, refused.fields.reason],
        ['unavailable', 'not-applied', 'disconnected'],
      );
      transport.subscribe('later', (message) => got.push(text(message.payload)));
      assert.ok(transport.payloadBytesMax > 0);

      await own.start();
      await eventually('connected', () => transport.status === 'connected');
      transport.publish('news', utf8('after'));
      transport.publish('later', utf8('too'));
      await eventually('the messages after', () => got.length === 2);
      assert.deepEqual(got, ['after', 'too']);
      assert.deepEqual(statuses, ['disconnected', 'connected']);
      await transport.close();
    } finally {
      await own.dispose();
    }
  },
);

test('a server that stops answering is noticed by pings, and its return ends in one connection', options, async () => {
  const own = await startTestNatsServer();
  try {
    const transport = await connect(own.url);
    let got = 0;
    transport.subscribe('once', () => {
      got += 1;
    });
    await transport.flush();
    let dials = 0;
    void (async () => {
      for await (const event of transport.connection.status()) if (event.type === DebugEvents.Reconnecting) dials += 1;
    })();
    own.signal('SIGSTOP');
    await eventually('disconnected', () => transport.status === 'disconnected');
    await eventually(
      'dials that the kernel of the stopped server accepts and the client gives up on',
      () => dials >= 3,
    );
    own.signal('SIGCONT');
    await eventually('connected', () => transport.status === 'connected');
    await transport.flush();
    transport.publish('once', utf8(''));
    await transport.flush();
    await eventually('the message', () => got > 0);
    assert.equal(got, 1);
    assert.equal(openSockets(transport), 1);
    await transport.close();
  } finally {
    own.signal('SIGCONT');
    await own.dispose();
  }
});

/** TCP connections of this process to the port of `transport`'s server. */
function openSockets(transport: { readonly connection: { getServer(): string } }): number {
  const port = Number(transport.connection.getServer().split(':').at(-1));
  const handles: unknown[] = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  return handles.filter((handle) => (handle as Partial<Socket>).remotePort === port).length;
}

test('closing while the server is away ends at once', options, async () => {
  const own = await startTestNatsServer();
  const transport = await connect(own.url);
  await own.stop('SIGKILL');
  await eventually('disconnected', () => transport.status === 'disconnected');
  const started = performance.now();
  await transport.close();
  assert.ok(performance.now() - started < 3_000);
  await own.dispose();
});

test('a handler’s error is logged with its subject', options, async () => {
  const lines: LogFields[] = [];
  const logger: Logger = { ...silentLogger, error: (message, fields) => lines.push({ message, ...fields }) };
  const transport = await connectNats({ url: server.url, name: 'test', logger });
  transport.subscribe('broken.*', () => {
    throw new TypeError('no');
  });
  transport.publish('broken.x', utf8(''));
  await eventually('the log line', () => lines.length === 1);
  assert.equal(lines[0]?.message, 'handler failed');
  assert.equal(lines[0]?.subject, 'broken.*');
  await transport.close();
});

test('an assertion that fails in a handler ends the process', options, async () => {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('assertion-in-handler.js', import.meta.url)), server.url],
    { stdio: 'pipe' },
  );
  let shown = '';
  child.stderr.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
  });
  const [code] = await once(child, 'exit');
  assert.notEqual(code, 0);
  assert.match(shown, /AssertionError: the law is broken/);
});

test('one connection serves a transport and a metadata store', options, async () => {
  const transport = await connect();
  const store = new NatsMetadataStore(transport.connection, silentLogger);
  await store.openBucket('shared', { replicas: 1 });
  assert.equal(await store.get('shared', 'a'), undefined);
  await transport.close();
  assert.equal((await failure(store.get('shared', 'a'))).code, 'closed');
});
