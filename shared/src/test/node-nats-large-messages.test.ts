/** Large messages through nats.js as `spareLargeMessages` changes it: the same bytes in the same order. */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { after, before, test } from 'node:test';
import { bytesEqual, silentLogger } from '../core/index.ts';
import { connectNats, type NatsTransport } from '../node/index.ts';
import { LARGE_MESSAGE_BYTES } from '../node/nats-large-messages.ts';
import { eventually, natsServerSkip, startTestNatsServer, type TestNatsServer } from './nats-server.ts';

const SUBJECT = 'large.messages';
const CHUNK = 65_536;
const SIZES = [
  1,
  LARGE_MESSAGE_BYTES - 1,
  LARGE_MESSAGE_BYTES,
  3,
  CHUNK - 1,
  CHUNK,
  CHUNK + 1,
  0,
  200_000,
  700,
  3 * CHUNK,
  1_048_576,
  12,
];

let server: TestNatsServer;
let sender: NatsTransport;
let receiver: NatsTransport;

before(async () => {
  if (natsServerSkip !== false) return;
  server = await startTestNatsServer();
  sender = await connectNats({ url: server.url, name: 'sender', logger: silentLogger });
  receiver = await connectNats({ url: server.url, name: 'receiver', logger: silentLogger });
});

after(async () => {
  if (natsServerSkip !== false) return;
  await sender.close();
  await receiver.close();
  await server.dispose();
});

function payloads(rounds: number): Uint8Array[] {
  return Array.from({ length: rounds }, () => SIZES)
    .flat()
    .map((size) => randomFillSync(new Uint8Array(size)));
}

async function received(sent: readonly Uint8Array[], publish: (payload: Uint8Array) => void): Promise<Uint8Array[]> {
  const arrived: Uint8Array[] = [];
  const subscription = receiver.subscribe(SUBJECT, ({ payload }) => arrived.push(payload));
  await receiver.flush();
  for (const payload of sent) publish(payload);
  await eventually('every message arrives', () => arrived.length === sent.length);
  subscription.cancel();
  return arrived;
}

function assertSame(arrived: readonly Uint8Array[], sent: readonly Uint8Array[]): void {
  for (const [index, payload] of sent.entries()) {
    const other = arrived[index];
    assert.ok(other !== undefined && bytesEqual(other, payload), `message ${index} of ${payload.byteLength} bytes`);
  }
}

test('messages of all sizes arrive whole, in the order in which they were published', {
  skip: natsServerSkip,
}, async () => {
  const sent = payloads(5);
  const arrived = await received(sent, (payload) => sender.publish(SUBJECT, payload));
  assertSame(arrived, sent);
});

test('messages keep their order when they are published in turns of their own', { skip: natsServerSkip }, async () => {
  const sent = payloads(2);
  const arrived = await received(sent, (payload) => setImmediate(() => sender.publish(SUBJECT, payload)));
  assertSame(arrived, sent);
});

test('a large message lies in a buffer that holds nothing else', { skip: natsServerSkip }, async () => {
  const sent = [randomFillSync(new Uint8Array(600_000)), randomFillSync(new Uint8Array(400_000))];
  for (const payload of await received(sent, (payload) => sender.publish(SUBJECT, payload))) {
    assert.equal(payload.buffer.byteLength, payload.byteLength);
  }
});

test('a request with a large payload is answered, and a flush covers what was published', {
  skip: natsServerSkip,
}, async () => {
  const large = randomFillSync(new Uint8Array(300_000));
  const echo = receiver.subscribe('large.echo', ({ payload, replyTo }) => receiver.publish(replyTo ?? '', payload));
  await receiver.flush();
  const reply = await sender.request('large.echo', large, { timeoutMs: 5_000 });
  assertSame([reply.payload], [large]);
  let bytes = 0;
  const counting = receiver.subscribe('large.flush', ({ payload }) => {
    bytes += payload.byteLength;
  });
  await receiver.flush();
  sender.publish('large.flush', large);
  await sender.flush();
  await receiver.flush();
  assert.equal(bytes, large.byteLength);
  counting.cancel();
  echo.cancel();
});

test('after a reconnect large messages pass as before', { skip: natsServerSkip }, async () => {
  await server.stop('SIGKILL');
  await eventually('both notice', () => sender.status === 'disconnected' && receiver.status === 'disconnected');
  await server.start();
  await eventually('both are back', () => sender.status === 'connected' && receiver.status === 'connected');
  const sent = payloads(1);
  const arrived = await received(sent, (payload) => sender.publish(SUBJECT, payload));
  assertSame(arrived, sent);
});
