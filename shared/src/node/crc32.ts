/** CRC-32 by zlib, many times as fast as the reference in `core/`. It exists in Node.js from 20.15 on. */
import zlib from 'node:zlib';
import { type Crc32, PyralogError } from '../core/index.ts';

if (typeof zlib.crc32 !== 'function') {
  throw new PyralogError({
    code: 'invalid',
    message: 'node.js is too old: zlib.crc32 is missing',
    fields: { field: 'node', version: process.version, minimum: 'v20.19' },
  });
}

export const nativeCrc32: Crc32 = (bytes) => zlib.crc32(bytes);
