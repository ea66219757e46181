/** Expectations about errors. */
import assert from 'node:assert/strict';
import { type ErrorCode, PyralogError } from '@pyralog/shared/core';

/** Requires that `act` throws a `PyralogError` of one of the codes, and gives it back. */
export function throwsCode(act: () => unknown, ...codes: ErrorCode[]): PyralogError {
  let error: unknown;
  try {
    act();
  } catch (reason) {
    error = reason;
  }
  if (!(error instanceof PyralogError)) throw new assert.AssertionError({ message: 'no PyralogError', actual: error });
  assert.ok(codes.includes(error.code), `${error.code} is not one of ${codes.join(', ')}: ${error.message}`);
  return error;
}

/** The result of `act`, or the `PyralogError` that it throws; anything else it throws rises. */
export function resultOrError<T>(act: () => T): T | PyralogError {
  try {
    return act();
  } catch (reason) {
    if (reason instanceof PyralogError) return reason;
    throw reason;
  }
}
