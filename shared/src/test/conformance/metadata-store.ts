/** What every `MetadataStore` must do. Run on the real adapter and on simulated ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MetadataChange, type MetadataStore, text, utf8 } from '../../core/index.ts';
import { eventually } from '../nats-server.ts';

export interface MetadataStoreSubject {
  readonly name: string;
  readonly skip: string | false;
  /** Two stores on the same buckets, as two processes have them. */
  stores(): [MetadataStore, MetadataStore];
  /** A name that no other test uses. */
  bucket(): string;
}

export function metadataStoreConformance(subject: MetadataStoreSubject): void {
  const law = (name: string, body: (stores: [MetadataStore, MetadataStore], bucket: string) => Promise<void>): void => {
    test(`${subject.name}: ${name}`, { skip: subject.skip, timeout: 60_000 }, async () => {
      const stores = subject.stores();
      const bucket = subject.bucket();
      await stores[0].openBucket(bucket, { replicas: 1 });
      await body(stores, bucket);
    });
  };

  law('opening a bucket again keeps what is in it', async ([store, other], bucket) => {
    await store.compareAndSet(bucket, 'a', 0, utf8('1'));
    await Promise.all([store, other, store, other].map((each) => each.openBucket(bucket, { replicas: 1 })));
    assert.equal(text((await other.get(bucket, 'a'))?.value ?? utf8('')), '1');
  });

  law('a key that was never written is not there', async ([store], bucket) => {
    assert.equal(await store.get(bucket, 'a'), undefined);
  });

  law('a written value is read back with its revision', async ([store, other], bucket) => {
    const value = Uint8Array.from({ length: 256 }, (_, index) => index);
    const written = await store.compareAndSet(bucket, 'log.ns.name', 0, value);
    assert.equal(written.kind, 'written');
    const entry = await other.get(bucket, 'log.ns.name');
    assert.deepEqual(entry, { key: 'log.ns.name', value, revision: written.kind === 'written' ? written.revision : 0 });
  });

  law('an empty value is a value', async ([store], bucket) => {
    await store.compareAndSet(bucket, 'a', 0, new Uint8Array(0));
    assert.equal((await store.get(bucket, 'a'))?.value.byteLength, 0);
  });

  law('creating a key that exists is a conflict', async ([store, other], bucket) => {
    await store.compareAndSet(bucket, 'a', 0, utf8('1'));
    assert.deepEqual(await other.compareAndSet(bucket, 'a', 0, utf8('2')), { kind: 'conflict' });
    assert.equal(text((await store.get(bucket, 'a'))?.value ?? utf8('')), '1');
  });

  law('writing at another revision than the last is a conflict and changes nothing', async ([store, other], bucket) => {
    const first = revisionOf(await store.compareAndSet(bucket, 'a', 0, utf8('1')));
    const second = revisionOf(await other.compareAndSet(bucket, 'a', first, utf8('2')));
    assert.ok(second > first);
    assert.deepEqual(await store.compareAndSet(bucket, 'a', first, utf8('3')), { kind: 'conflict' });
    assert.deepEqual(await store.compareAndSet(bucket, 'a', second + 1, utf8('3')), { kind: 'conflict' });
    assert.equal(text((await store.get(bucket, 'a'))?.value ?? utf8('')), '2');
  });

  law('writing at a revision of a key that was never written is a conflict', async ([store], bucket) => {
    assert.deepEqual(await store.compareAndSet(bucket, 'a', 7, utf8('1')), { kind: 'conflict' });
  });

  law('a write of another key does not move a key’s revision', async ([store], bucket) => {
    const first = revisionOf(await store.compareAndSet(bucket, 'a', 0, utf8('1')));
    await store.compareAndSet(bucket, 'b', 0, utf8('1'));
    assert.equal((await store.compareAndSet(bucket, 'a', first, utf8('2'))).kind, 'written');
  });

  law('of many who create one key at once exactly one succeeds', async (stores, bucket) => {
    const tries = Array.from({ length: 20 }, (_, index) =>
      (stores[index % 2] ?? stores[0]).compareAndSet(bucket, 'a', 0, utf8(String(index))),
    );
    const results = await Promise.all(tries);
    assert.equal(results.filter((result) => result.kind === 'written').length, 1);
    const winner = results.findIndex((result) => result.kind === 'written');
    assert.equal(text((await stores[0].get(bucket, 'a'))?.value ?? utf8('')), String(winner));
  });

  law('a counter raised by compare-and-set loses no increment', async (stores, bucket) => {
    const raise = async (store: MetadataStore): Promise<void> => {
      for (let left = 10; left > 0; ) {
        const entry = await store.get(bucket, 'count');
        const next = entry === undefined ? 1 : Number(text(entry.value)) + 1;
        const result = await store.compareAndSet(bucket, 'count', entry?.revision ?? 0, utf8(String(next)));
        if (result.kind === 'written') left -= 1;
      }
    };
    await Promise.all([...stores, ...stores].map(raise));
    assert.equal(text((await stores[0].get(bucket, 'count'))?.value ?? utf8('')), '40');
  });

  law('a deleted key is not there, and is created again at revision 0', async ([store, other], bucket) => {
    const first = revisionOf(await store.compareAndSet(bucket, 'a', 0, utf8('1')));
    assert.equal((await store.compareAndDelete(bucket, 'a', first)).kind, 'written');
    assert.equal(await other.get(bucket, 'a'), undefined);
    assert.deepEqual(await other.compareAndSet(bucket, 'a', first, utf8('2')), { kind: 'conflict' });
    assert.equal((await other.compareAndSet(bucket, 'a', 0, utf8('2'))).kind, 'written');
    assert.equal(text((await store.get(bucket, 'a'))?.value ?? utf8('')), '2');
  });

  law('deleting at another revision is a conflict', async ([store], bucket) => {
    const first = revisionOf(await store.compareAndSet(bucket, 'a', 0, utf8('1')));
    revisionOf(await store.compareAndSet(bucket, 'a', first, utf8('2')));
    assert.deepEqual(await store.compareAndDelete(bucket, 'a', first), { kind: 'conflict' });
    assert.equal(text((await store.get(bucket, 'a'))?.value ?? utf8('')), '2');
  });

  law('keys lists those that exist and begin with the prefix', async ([store, other], bucket) => {
    for (const key of ['log.a.x', 'log.a.y', 'log.b.x', 'logs', 'node.1'])
      await store.compareAndSet(bucket, key, 0, utf8('1'));
    const gone = await store.get(bucket, 'log.a.y');
    await store.compareAndDelete(bucket, 'log.a.y', gone?.revision ?? 0);
    assert.deepEqual((await other.keys(bucket, 'log.')).sort(), ['log.a.x', 'log.b.x']);
    assert.deepEqual((await other.keys(bucket, 'log')).sort(), ['log.a.x', 'log.b.x', 'logs']);
    assert.deepEqual((await other.keys(bucket, '')).sort(), ['log.a.x', 'log.b.x', 'logs', 'node.1']);
    assert.deepEqual(await other.keys(bucket, 'zone.'), []);
  });

  law('a watch of an empty bucket is caught up at once', async ([store], bucket) => {
    const watched = new Watched();
    const watch = await store.watch(bucket, watched);
    await eventually('caught up', () => watched.caughtUp === 1);
    assert.equal(watched.changes.length, 0);
    watch.cancel();
  });

  law(
    'a watch reports what exists, then that it has caught up, then every change in order',
    async ([store, other], bucket) => {
      const a = revisionOf(await store.compareAndSet(bucket, 'a', 0, utf8('1')));
      await store.compareAndSet(bucket, 'b', 0, utf8('1'));
      const gone = revisionOf(await store.compareAndSet(bucket, 'c', 0, utf8('1')));
      await store.compareAndDelete(bucket, 'c', gone);
      const watched = new Watched();
      const watch = await other.watch(bucket, watched);
      await eventually('caught up', () => watched.caughtUp === 1);
      assert.deepEqual(watched.beforeCaughtUp, ['a=1', 'b=1']);

      const second = revisionOf(await store.compareAndSet(bucket, 'a', a, utf8('2')));
      await store.compareAndDelete(bucket, 'a', second);
      await store.compareAndSet(bucket, 'a', 0, utf8('3'));
      await store.compareAndSet(bucket, 'd', 0, utf8('1'));
      await eventually('the changes', () => watched.shown.length === 6);
      assert.deepEqual(watched.shown.slice(2), ['a=2', 'a deleted', 'a=3', 'd=1']);
      for (const change of watched.changes) {
        if (change.kind === 'put' && change.entry.key === 'd') {
          assert.equal(change.entry.revision, (await store.get(bucket, 'd'))?.revision);
        }
      }
      watch.cancel();
      assert.equal(watched.caughtUp, 1);
    },
  );

  law('a cancelled watch reports nothing more', async ([store, other], bucket) => {
    const watched = new Watched();
    const watch = await other.watch(bucket, watched);
    await eventually('caught up', () => watched.caughtUp === 1);
    const control = new Watched();
    const second = await other.watch(bucket, control);
    watch.cancel();
    await store.compareAndSet(bucket, 'a', 0, utf8('1'));
    await eventually('the other watch', () => control.shown.length === 1);
    assert.deepEqual(watched.shown, []);
    second.cancel();
  });

  law('a watch that begins while others write misses no latest value', async ([store, other], bucket) => {
    const writing = (async () => {
      for (let index = 0; index < 200; index++) {
        const key = `k${index % 20}`;
        const entry = await store.get(bucket, key);
        await store.compareAndSet(bucket, key, entry?.revision ?? 0, utf8(String(index)));
      }
    })();
    const watched = Array.from({ length: 5 }, () => new Watched());
    const watches = [];
    for (const each of watched) watches.push(await other.watch(bucket, each));
    await writing;
    const expected = Array.from({ length: 20 }, (_, index) => `k${index}=${180 + index}`).sort();
    for (const each of watched) {
      await eventually('the latest values', () => JSON.stringify(each.latest()) === JSON.stringify(expected));
    }
    for (const watch of watches) watch.cancel();
  });
}

export function revisionOf(result: { kind: 'written'; revision: number } | { kind: 'conflict' }): number {
  assert.equal(result.kind, 'written');
  return result.kind === 'written' ? result.revision : 0;
}

/** Remembers what a watch reported. */
export class Watched {
  readonly changes: MetadataChange[] = [];
  readonly shown: string[] = [];
  beforeCaughtUp: string[] = [];
  caughtUp = 0;
  readonly #values = new Map<string, string>();

  onChange = (change: MetadataChange): void => {
    this.changes.push(change);
    if (change.kind === 'put') {
      this.#values.set(change.entry.key, text(change.entry.value));
      this.shown.push(`${change.entry.key}=${text(change.entry.value)}`);
    } else {
      this.#values.delete(change.key);
      this.shown.push(`${change.key} deleted`);
    }
  };

  onCaughtUp = (): void => {
    this.caughtUp += 1;
    this.beforeCaughtUp = [...this.shown];
  };

  /** `key=value` of every key that exists. */
  latest(): string[] {
    return [...this.#values].map(([key, value]) => `${key}=${value}`).sort();
  }
}
