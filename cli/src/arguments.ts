/**
 * Readers of options. Each throws commander's `InvalidArgumentError`, which names the option, so that a value that cannot
 * be meant is a usage error (exit code 2) before anything is connected.
 */
import { InvalidArgumentError } from 'commander';

/** Where to begin reading, as `Reader` takes it. */
export type From = 'earliest' | 'latest' | { readonly offset: number } | { readonly last: number };

/** A whole number in `[minimum, limit]`. */
export function wholeNumber(minimum: number, limit: number): (value: string) => number {
  return (value) => {
    const number = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN;
    if (!Number.isSafeInteger(number) || number < minimum || number > limit) {
      throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${limit}.`);
    }
    return number;
  };
}

/** `earliest`, `latest`, an offset, or `-N` for N before the end of each partition. */
export function offsetArgument(value: string): From {
  if (value === 'earliest' || value === 'latest') return value;
  const number = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) {
    throw new InvalidArgumentError('It must be earliest, latest, an offset, or -N for N before the end.');
  }
  return value.startsWith('-') ? { last: -number } : { offset: number };
}

/** Anything but nothing. */
export function nonEmpty(value: string): string {
  if (value === '') throw new InvalidArgumentError('It must not be empty.');
  return value;
}
