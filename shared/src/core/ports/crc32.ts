/** CRC-32 (IEEE 802.3, the one of zlib and gzip) of `bytes`, an unsigned 32-bit number. */
export type Crc32 = (bytes: Uint8Array) => number;
