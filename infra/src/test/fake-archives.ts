/** Archives as `tar` and `zip` write them, built by hand. */
import { deflateRawSync } from 'node:zlib';

const BLOCK = 512;

export function tarOf(files: Readonly<Record<string, string | Buffer>>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, content] of Object.entries(files)) {
    const bytes = Buffer.from(content);
    const header = Buffer.alloc(BLOCK);
    header.write(name, 0, 100, 'latin1');
    header.write('0000755\0', 100, 'latin1');
    header.write(`${bytes.byteLength.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
    header.write(name.endsWith('/') ? '5' : '0', 156, 'latin1');
    header.write('ustar\0', 257, 'latin1');
    parts.push(header, bytes, Buffer.alloc((BLOCK - (bytes.byteLength % BLOCK)) % BLOCK));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

export function zipOf(files: Readonly<Record<string, string | Buffer>>, method: 'stored' | 'deflated'): Buffer {
  const locals: Buffer[] = [];
  const entries: Buffer[] = [];
  let position = 0;
  for (const [name, content] of Object.entries(files)) {
    const bytes = Buffer.from(content);
    const packed = method === 'stored' ? bytes : deflateRawSync(bytes);
    const title = Buffer.from(name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(title.byteLength, 26);
    local.writeUInt16LE(4, 28);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(method === 'stored' ? 0 : 8, 10);
    entry.writeUInt32LE(packed.byteLength, 20);
    entry.writeUInt32LE(bytes.byteLength, 24);
    entry.writeUInt16LE(title.byteLength, 28);
    entry.writeUInt32LE(position, 42);
    entries.push(Buffer.concat([entry, title]));
    const whole = Buffer.concat([local, title, Buffer.from('xtra'), packed]);
    locals.push(whole);
    position += whole.byteLength;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.byteLength, 12);
  end.writeUInt32LE(position, 16);
  return Buffer.concat([...locals, directory, end]);
}
