/** What every `Transport` must do. Run on the real adapter and on simulated ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Message, PyralogError, type Transport, text, utf8 } from '../../core/index.ts';
import { eventually } from '../nats-server.ts';

export interface TransportSubject {
  readonly name: string;
  readonly skip: string | false;
  /** Connects a process of its own. */
  connect(): Promise<Transport>;
}

export function transportConformance(subject: TransportSubject): void {
  const law = (name: string, body: (a: Transport, b: Transport) => Promise<void>): void => {
    test(`${subject.name}: ${name}`, { skip: subject.skip, timeout: 30_000 }, async () => {
      const a = await subject.connect();
      const b = await subject.connect();
      try {
        await body(a, b);
      } finally {
        await Promise.all([a.close(), b.close()]);
      }
    });
  };

  law('a subscriber gets subject, payload and reply subject, in the order of publication', async (a, b) => {
    const got: string[] = [];
    b.subscribe('order.*', (message) =>
      got.push(`${message.subject} ${text(message.payload)} ${message.replyTo ?? '-'}`),
    );
    await b.flush();
    for (let index = 0; index < 1_000; index++)
      a.publish(`order.${index % 3}`, utf8(String(index)), index % 2 === 0 ? undefined : 'r.x');
    await eventually('all messages', () => got.length === 1_000);
    assert.deepEqual(
      got,
      Array.from({ length: 1_000 }, (_, index) => `order.${index % 3} ${index} ${index % 2 === 0 ? '-' : 'r.x'}`),
    );
  });

  law('a process hears what it publishes itself', async (a) => {
    let heard = 0;
    a.subscribe('own', () => {
      heard += 1;
    });
    a.publish('own', utf8(''));
    await eventually('the message', () => heard === 1);
  });

  law('members of a queue group share the messages', async (a, b) => {
    const got = [0, 0];
    a.subscribe('work', () => (got[0] = (got[0] ?? 0) + 1), { queue: 'workers' });
    b.subscribe('work', () => (got[1] = (got[1] ?? 0) + 1), { queue: 'workers' });
    await Promise.all([a.flush(), b.flush()]);
    for (let index = 0; index < 200; index++) a.publish('work', utf8(''));
    await eventually('all messages', () => (got[0] ?? 0) + (got[1] ?? 0) === 200);
    assert.ok((got[0] ?? 0) > 0 && (got[1] ?? 0) > 0);
  });

  law('a cancelled subscription gets nothing more', async (a, b) => {
    let first = 0;
    let second = 0;
    const registration = b.subscribe('gone', () => {
      first += 1;
    });
    b.subscribe('gone', () => {
      second += 1;
    });
    registration.cancel();
    registration.cancel();
    await b.flush();
    a.publish('gone', utf8(''));
    await eventually('the other subscription', () => second === 1);
    assert.equal(first, 0);
  });

  law('a handler that throws loses only its own message', async (a, b) => {
    const got: string[] = [];
    b.subscribe('fragile', (message: Message) => {
      const body = text(message.payload);
      if (body === 'bad') throw new Error('handler is broken');
      got.push(body);
    });
    await b.flush();
    for (const body of ['1', 'bad', '2']) a.publish('fragile', utf8(body));
    await eventually('the messages around it', () => got.length === 2);
    assert.deepEqual(got, ['1', '2']);
    assert.equal(b.status, 'connected');
  });

  law('a request gets the first reply', async (a, b) => {
    b.subscribe('echo', (message) => {
      if (message.replyTo !== undefined) b.publish(message.replyTo, message.payload);
    });
    await b.flush();
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, index) => a.request('echo', utf8(String(index)), { timeoutMs: 5_000 })),
    );
    assert.deepEqual(
      replies.map((reply) => text(reply.payload)),
      Array.from({ length: 100 }, (_, index) => String(index)),
    );
  });

  law('a request that nobody listens to is unavailable at once and was not applied', async (a) => {
    const started = performance.now();
    const error = await failure(a.request('nobody', utf8(''), { timeoutMs: 20_000 }));
    assert.equal(error.code, 'unavailable');
    assert.equal(error.outcome, 'not-applied');
    assert.equal(error.fields.reason, 'no-responders');
    assert.ok(performance.now() - started < 10_000);
  });

  law('a request that is not answered times out with an unknown outcome', async (a, b) => {
    b.subscribe('silent', () => undefined);
    await b.flush();
    const error = await failure(a.request('silent', utf8(''), { timeoutMs: 50 }));
    assert.equal(error.code, 'timeout');
    assert.equal(error.outcome, 'unknown');
  });

  law('a message with a reply subject that reaches nobody is told to that subscription alone', async (a) => {
    const told: string[] = [];
    let handled = 0;
    const inbox = a.createInbox();
    a.subscribe(inbox, () => (handled += 1), { onNoResponders: (replyTo) => told.push(replyTo) });
    a.publish('nobody', utf8('x'), inbox);
    await eventually('the notice', () => told.length === 1);
    assert.deepEqual(told, [inbox]);
    assert.equal(handled, 0);
  });

  law('inboxes differ, and one works as a reply subject', async (a, b) => {
    const inbox = a.createInbox();
    assert.notEqual(inbox, a.createInbox());
    const got: string[] = [];
    a.subscribe(inbox, (message) => got.push(text(message.payload)));
    await a.flush();
    b.publish(inbox, utf8('hello'));
    await eventually('the message', () => got.length === 1);
  });

  law('a payload of the largest size passes, one byte more is refused with both sizes', async (a, b) => {
    let length = 0;
    b.subscribe('large', (message) => {
      length = message.payload.byteLength;
    });
    await b.flush();
    const limit = a.payloadBytesMax;
    assert.ok(limit >= 1024 * 1024);
    a.publish('large', new Uint8Array(limit));
    await eventually('the large message', () => length === limit);
    assert.throws(
      () => a.publish('large', new Uint8Array(limit + 1)),
      (error: unknown) =>
        error instanceof PyralogError &&
        error.code === 'invalid' &&
        error.fields.limit === limit &&
        error.fields.size === limit + 1,
    );
    assert.equal((await failure(a.request('large', new Uint8Array(limit + 1), { timeoutMs: 1_000 }))).code, 'invalid');
    assert.equal(a.status, 'connected');
  });

  law(
    'closing sends what was published before, tells the listeners once, and refuses what comes after',
    async (a, b) => {
      let got = 0;
      b.subscribe('last', () => {
        got += 1;
      });
      await b.flush();
      const statuses: string[] = [];
      a.onStatus((status) => statuses.push(status));
      for (let index = 0; index < 1_000; index++) a.publish('last', utf8(''));
      await Promise.all([a.close(), a.close()]);
      await eventually('the messages', () => got === 1_000);
      assert.equal(a.status, 'closed');
      await eventually('the status', () => statuses.length === 1);
      assert.deepEqual(statuses, ['closed']);
      assert.throws(() => a.publish('last', utf8('')), isClosed);
      assert.throws(() => a.subscribe('last', () => undefined), isClosed);
      assert.equal((await failure(a.request('last', utf8(''), { timeoutMs: 1_000 }))).code, 'closed');
      assert.equal((await failure(a.flush())).code, 'closed');
    },
  );
}

function isClosed(error: unknown): boolean {
  return error instanceof PyralogError && error.code === 'closed';
}

/** The `PyralogError` that a promise must fail with. */
export async function failure(promise: Promise<unknown>): Promise<PyralogError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof PyralogError, String(error));
    return error;
  }
  return assert.fail('should have failed');
}
