/** UTF-8 without decoding it: the length that text will have, and whether bytes are text at all. */

/** Bytes of `text` in UTF-8. A surrogate without its pair counts as U+FFFD, which is what an encoder makes of it. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      length += 1;
      continue;
    }
    length += 2;
    if (unit >= 0xd800 && unit < 0xdc00) {
      const next = text.charCodeAt(index + 1);
      if (next >= 0xdc00 && next < 0xe000) index++;
    }
  }
  return length;
}

/** Whether bytes `[from, until)` are well-formed UTF-8 (The Unicode Standard, table 3-7). */
export function isUtf8(bytes: Uint8Array, from: number, until: number): boolean {
  let position = from;
  while (position < until) {
    const lead = bytes[position] ?? 0;
    if (lead < 0x80) {
      position += 1;
      continue;
    }
    const following = lead < 0xc2 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : 0;
    if (following === 0 || position + following >= until) return false;
    const second = bytes[position + 1] ?? 0;
    const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    if (second < lowest || second > highest) return false;
    for (let index = 2; index <= following; index++) {
      if (((bytes[position + index] ?? 0) & 0xc0) !== 0x80) return false;
    }
    position += 1 + following;
  }
  return true;
}
