/** Copyset tables by placement. Readers of a fragment send the same placement with every request; tables are costly. */
import { CopysetTable, type ReadRequest } from '@pyralog/shared/core';

const TABLES_MAX = 64;

export class CopysetTables {
  /** In the order of last use. */
  readonly #tables = new Map<string, CopysetTable>();

  get(placement: ReadRequest['placement']): CopysetTable {
    const { strategy, seed, scatterWidth, replicationFactor, slots } = placement;
    const members = slots.map(({ nodeId, zone }) => [nodeId, zone]);
    const key = JSON.stringify([strategy, seed, scatterWidth, replicationFactor, members]);
    const table = this.#tables.get(key) ?? new CopysetTable(placement);
    this.#tables.delete(key);
    this.#tables.set(key, table);
    if (this.#tables.size > TABLES_MAX) {
      const oldest = this.#tables.keys().next();
      if (oldest.done !== true) this.#tables.delete(oldest.value);
    }
    return table;
  }
}
