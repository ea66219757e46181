/**
 * CRC-32 (IEEE) in plain ECMAScript, by eight tables of 256 ("slicing by 8": Kounavis and Berry, 2008). The reference,
 * and what runs where there is no native one.
 */
const TABLES = buildTables();

function buildTables(): Uint32Array[] {
  const first = new Uint32Array(256);
  for (let index = 0; index < 256; index++) {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ 0xedb88320;
    first[index] = value >>> 0;
  }
  const tables = [first];
  for (let slice = 1; slice < 8; slice++) {
    const previous = tables[slice - 1] as Uint32Array;
    tables.push(previous.map((value) => (value >>> 8) ^ (first[value & 0xff] as number)));
  }
  return tables;
}

const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
];

/** @see Crc32 */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  let index = 0;
  const whole = bytes.byteLength - (bytes.byteLength % 8);
  const at = (position: number): number => bytes[position] as number;
  for (; index < whole; index += 8) {
    crc ^= at(index) | (at(index + 1) << 8) | (at(index + 2) << 16) | (at(index + 3) << 24);
    crc =
      (T7[crc & 0xff] as number) ^
      (T6[(crc >>> 8) & 0xff] as number) ^
      (T5[(crc >>> 16) & 0xff] as number) ^
      (T4[crc >>> 24] as number) ^
      (T3[at(index + 4)] as number) ^
      (T2[at(index + 5)] as number) ^
      (T1[at(index + 6)] as number) ^
      (T0[at(index + 7)] as number);
  }
  for (; index < bytes.byteLength; index++) crc = (crc >>> 8) ^ (T0[(crc ^ at(index)) & 0xff] as number);
  return (crc ^ 0xffff_ffff) >>> 0;
}
