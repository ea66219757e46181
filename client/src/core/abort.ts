/** The part of the platform's `AbortSignal` that the client uses. */
import { PyralogError } from '@pyralog/shared/core';

export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** What an aborted call rejects with: `closed`, with the signal's reason as its cause. */
export function aborted(signal: AbortSignalLike, outcome: 'not-applied' | 'unknown'): PyralogError {
  return new PyralogError({ code: 'closed', message: 'call was aborted', outcome, cause: signal.reason });
}
