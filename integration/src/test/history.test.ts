import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Append, type Seen, violations } from '../support/history.ts';

function acknowledged(value: string, offset: number, sentAtMs: number, settledAtMs: number): Append {
  return { value, sentAtMs, settledAtMs, outcome: 'acknowledged', partition: 0, offset };
}
function seen(...values: string[]): Seen[] {
  return values.map((value, offset) => ({ partition: 0, offset, value }));
}

const A = acknowledged('a', 0, 0, 1);
const B = acknowledged('b', 1, 2, 3);
const LOST: Append = { value: 'u', sentAtMs: 2, outcome: 'unknown' };
const REFUSED: Append = { value: 'r', sentAtMs: 2, outcome: 'refused' };

describe('the checker of histories', () => {
  it('finds nothing wrong with sound ones', () => {
    assert.deepEqual(violations([A, B], [seen('a', 'b'), seen('a', 'b')]), []);
    assert.deepEqual(violations([A, B, LOST, REFUSED], [seen('a', 'b', 'u')]), []);
    assert.deepEqual(violations([A, B, LOST], [seen('a', 'b')]), []);
    const concurrent = [acknowledged('x', 1, 0, 10), acknowledged('y', 0, 5, 9)];
    assert.deepEqual(violations(concurrent, [seen('y', 'x')]), []);
  });

  const bad: Record<string, { appends: Append[]; readers: Seen[][]; says: RegExp }> = {
    'an acknowledged record that is lost': {
      appends: [A, B],
      readers: [seen('a')],
      says: /b was acknowledged at 0\/1, where nothing/,
    },
    'an acknowledged record at another offset': {
      appends: [A, acknowledged('b', 5, 2, 3)],
      readers: [seen('a', 'b')],
      says: /acknowledged at 0\/5/,
    },
    'a record that was never sent': { appends: [A], readers: [seen('a', 'z')], says: /z was never sent/ },
    'a refused record': { appends: [A, REFUSED], readers: [seen('a', 'r')], says: /refused/ },
    'a duplicate': { appends: [A, B], readers: [seen('a', 'b', 'a')], says: /twice/ },
    'a gap': {
      appends: [A, B],
      readers: [
        [
          { partition: 0, offset: 0, value: 'a' },
          { partition: 0, offset: 2, value: 'b' },
        ],
      ],
      says: /goes from 0 to 2/,
    },
    'a log that does not begin at 0': {
      appends: [B],
      readers: [[{ partition: 0, offset: 1, value: 'b' }]],
      says: /goes from -1 to 1/,
    },
    'two values for one offset': {
      appends: [A, B, LOST],
      readers: [seen('a', 'b'), seen('a', 'u')],
      says: /0\/1 is u, and b for another/,
    },
    'an order against real time': {
      appends: [acknowledged('a', 1, 0, 1), acknowledged('b', 0, 2, 3)],
      readers: [seen('b', 'a')],
      says: /a was acknowledged before b was sent/,
    },
  };
  for (const [name, { appends, readers, says }] of Object.entries(bad)) {
    it(`finds ${name}`, () => {
      assert.match(violations(appends, readers).join('\n'), says);
    });
  }
});
