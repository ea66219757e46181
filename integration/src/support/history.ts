/**
 * What clients did and saw, and whether that is what a log promises. Pure, so that it can be tested on histories that are
 * wrong.
 *
 * - Everything acknowledged is read back, at the offset that was acknowledged.
 * - Nothing is read that was never sent, nothing that was refused, nothing twice.
 * - Offsets are contiguous from 0.
 * - Every reader, and every replica, has the same value at an offset.
 * - Real-time order: if A was acknowledged before B was sent, and both are in one partition, then A is before B.
 */
export interface Append {
  readonly value: string;
  /** Monotonic milliseconds. */
  readonly sentAtMs: number;
  settledAtMs?: number;
  /** `sent` until it is known; `unknown` when it may have happened; `refused` when it certainly did not. */
  outcome: 'sent' | 'acknowledged' | 'unknown' | 'refused';
  partition?: number;
  offset?: number;
}

export interface Seen {
  readonly partition: number;
  readonly offset: number;
  readonly value: string;
}

/** The violations, in words; empty when the history is sound. At most `VIOLATIONS_MAX` are listed. */
export function violations(appends: readonly Append[], readers: readonly (readonly Seen[])[]): string[] {
  const found: string[] = [];
  const report = (violation: string): void => {
    if (found.length < VIOLATIONS_MAX) found.push(violation);
  };
  const byValue = new Map(appends.map((append) => [append.value, append]));
  const agreed = new Map<string, string>();
  for (const [index, seen] of readers.entries()) checkReader(index, seen, byValue, agreed, report);
  for (const append of appends) checkAcknowledged(append, readers, agreed, report);
  checkRealTime(appends, agreed, report);
  return found;
}

const VIOLATIONS_MAX = 50;

type Report = (violation: string) => void;

function place(partition: number, offset: number): string {
  return `${partition}/${offset}`;
}

function checkReader(
  reader: number,
  seen: readonly Seen[],
  byValue: ReadonlyMap<string, Append>,
  agreed: Map<string, string>,
  report: Report,
): void {
  const nextOffset = new Map<number, number>();
  const values = new Set<string>();
  for (const { partition, offset, value } of seen) {
    const expected = nextOffset.get(partition) ?? 0;
    if (offset !== expected) report(`reader ${reader}: partition ${partition} goes from ${expected - 1} to ${offset}`);
    nextOffset.set(partition, offset + 1);
    if (values.has(value)) report(`reader ${reader}: ${value} is in the log twice`);
    values.add(value);
    const append = byValue.get(value);
    if (append === undefined) report(`reader ${reader}: ${value} was never sent`);
    else if (append.outcome === 'refused') report(`reader ${reader}: ${value} was refused and is in the log`);
    const other = agreed.get(place(partition, offset));
    if (other === undefined) agreed.set(place(partition, offset), value);
    else if (other !== value)
      report(`reader ${reader}: ${place(partition, offset)} is ${value}, and ${other} for another`);
  }
}

function checkAcknowledged(
  append: Append,
  readers: readonly (readonly Seen[])[],
  agreed: ReadonlyMap<string, string>,
  report: Report,
): void {
  if (append.outcome !== 'acknowledged' || readers.length === 0) return;
  const { value, partition = -1, offset = -1 } = append;
  const there = agreed.get(place(partition, offset));
  if (there !== value)
    report(`${value} was acknowledged at ${place(partition, offset)}, where ${there ?? 'nothing'} is`);
}

function checkRealTime(appends: readonly Append[], agreed: ReadonlyMap<string, string>, report: Report): void {
  const byPartition = new Map<number, Append[]>();
  const byValue = new Map(appends.map((append) => [append.value, append]));
  for (const [key, value] of agreed) {
    const append = byValue.get(value);
    if (append === undefined) continue;
    const [partition = 0, offset = 0] = key.split('/').map(Number);
    const list = byPartition.get(partition) ?? [];
    list.push({ ...append, partition, offset });
    byPartition.set(partition, list);
  }
  for (const list of byPartition.values()) {
    list.sort((a, b) => (a.offset ?? 0) - (b.offset ?? 0));
    let latestSent: Append | undefined;
    for (const append of list) {
      const acknowledgedAtMs = append.outcome === 'acknowledged' ? append.settledAtMs : undefined;
      if (latestSent !== undefined && acknowledgedAtMs !== undefined && acknowledgedAtMs < latestSent.sentAtMs) {
        report(`${append.value} was acknowledged before ${latestSent.value} was sent, and comes after it`);
      }
      if (latestSent === undefined || append.sentAtMs > latestSent.sentAtMs) latestSent = append;
    }
  }
}
