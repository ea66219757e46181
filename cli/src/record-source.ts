/** How a line of input becomes a record: its key and its partition. */

import type { RecordInput } from '@pyralog/client';
import { invalid } from '@pyralog/shared/core';

export interface RecordSourceOptions {
  /** Key of every record. */
  readonly key?: string | undefined;
  /** Field of the JSON object on each line whose value is the key. */
  readonly keyField?: string | undefined;
  readonly partition?: number | undefined;
}

/** @returns a function of a line and its number, from 1. It throws PyralogError `invalid` naming the line. */
export function recordSource(options: RecordSourceOptions): (line: Uint8Array, lineNumber: number) => RecordInput {
  const { key, keyField, partition } = options;
  const fixed = {
    ...(key === undefined ? {} : { key: Buffer.from(key) }),
    ...(partition === undefined ? {} : { partition }),
  };
  if (keyField === undefined) return (value) => ({ ...fixed, value });
  return (value, lineNumber) => ({ ...fixed, value, key: keyOfLine(value, keyField, lineNumber) });
}

/** Text as it is, numbers and booleans as JSON. */
function keyOfLine(line: Uint8Array, keyField: string, lineNumber: number): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString('utf8'));
  } catch {
    throw invalid('--key-field', 'line is not JSON', { line: lineNumber });
  }
  if (typeof parsed !== 'object' || parsed === null || !Object.hasOwn(parsed, keyField)) {
    throw invalid('--key-field', 'line is not a JSON object with the key field', { line: lineNumber, keyField });
  }
  const key: unknown = Reflect.get(parsed, keyField);
  if (typeof key === 'string') return key;
  if (typeof key === 'number' || typeof key === 'boolean') return String(key);
  throw invalid('--key-field', 'key field is not text, a number or a boolean', { line: lineNumber, keyField });
}
