/** What became of records that nobody waits for, until the next flush asks. */
import { PyralogError } from '@pyralog/shared/core';

export class WriteFailures {
  #first: PyralogError | undefined;
  #records = 0;

  add(error: PyralogError, records: number): void {
    this.#first ??= error;
    this.#records += records;
  }

  /** The first failure since the last call, with field `failedRecords`. */
  take(): PyralogError | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    const { code, message, retry, outcome } = first;
    const fields = { ...first.fields, failedRecords: this.#records };
    this.#first = undefined;
    this.#records = 0;
    return new PyralogError({ code, message, retry, outcome, fields, cause: first });
  }
}
