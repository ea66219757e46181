/** Which numbers of copies are a quorum. */
import { invalid } from './errors.ts';
import { LIMITS } from './limits.ts';

export interface QuorumRule {
  /** Copies of every batch (RF). */
  readonly replicationFactor: number;
  /** Copies that make a batch acknowledged (W). */
  readonly writeQuorum: number;
}

/**
 * Requires `1 <= W <= RF <= nodes`.
 * @throws PyralogError `invalid` naming the field and its limit.
 */
export function checkQuorum(rule: QuorumRule, nodes: number): void {
  const { replicationFactor, writeQuorum } = rule;
  checkWhole('replicationFactor', replicationFactor, 1, LIMITS.replicationFactorMax);
  checkWhole('writeQuorum', writeQuorum, 1, replicationFactor);
  if (replicationFactor > nodes) {
    throw invalid('replicationFactor', 'replication factor exceeds the storage nodes of the cluster', {
      replicationFactor,
      limit: nodes,
    });
  }
}

/**
 * Requires `W + R > RF` and `R <= RF`, so that every read quorum meets every write quorum.
 * @throws PyralogError `invalid` naming the field and its limit.
 */
export function checkReadQuorum(rule: QuorumRule, readQuorum: number): void {
  checkWhole('readQuorum', readQuorum, 1, rule.replicationFactor);
  if (rule.writeQuorum + readQuorum <= rule.replicationFactor) {
    throw invalid('readQuorum', 'write quorum plus read quorum must exceed the replication factor', {
      readQuorum,
      minimum: rule.replicationFactor - rule.writeQuorum + 1,
    });
  }
}

/** Members of a copyset that must say NEVER to prove that no write quorum has the batch: RF - W + 1. */
export function denialQuorum(rule: QuorumRule): number {
  return rule.replicationFactor - rule.writeQuorum + 1;
}

/** @throws PyralogError `invalid` unless `value` is a whole number in `[minimum, limit]`. */
export function checkWhole(field: string, value: number, minimum: number, limit: number): void {
  if (!Number.isSafeInteger(value) || value < minimum || value > limit) {
    throw invalid(field, 'number is not a whole number within its limits', { value, minimum, limit });
  }
}
