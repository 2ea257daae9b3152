/** Tars written field by field, for input that no tar program writes. Strings are Latin-1, one byte per character. */

export interface RawEntry {
  readonly name: string;
  /** The type flag; default `0`, or `5` for a name that ends with a slash. */
  readonly type?: string;
  readonly linkName?: string;
  readonly content?: Buffer | string;
  /** Default 0644, directories 0755. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Whole seconds; use `pax` for fractions. */
  readonly mtime?: number;
  readonly devMajor?: number;
  readonly devMinor?: number;
  /** Records of a pax header before the entry, in order. */
  readonly pax?: readonly (readonly [string, string])[];
  /** [offset, bytes] written over the finished header before its checksum is computed. */
  readonly fields?: readonly (readonly [number, string | Buffer])[];
}

/** The entries, followed by the two zero blocks that end an archive. */
export function rawTar(...entries: readonly RawEntry[]): Buffer {
  return Buffer.concat([...entries.map(encodeRawEntry), Buffer.alloc(1024)]);
}

export function encodeRawEntry(entry: RawEntry): Buffer {
  const header = entry.pax === undefined ? [] : [block({ name: 'PaxHeaders/x', type: 'x', content: paxOf(entry.pax) })];
  return Buffer.concat([...header, block(entry)]);
}

export function paxOf(records: readonly (readonly [string, string])[]): Buffer {
  const lines = records.map(([key, value]) => {
    const body = Buffer.from(` ${key}=${value}\n`, 'latin1');
    let length = body.length + 1;
    while (String(length).length + body.length !== length) length++;
    return Buffer.concat([Buffer.from(String(length)), body]);
  });
  return Buffer.concat(lines);
}

function block(entry: RawEntry): Buffer {
  const type = entry.type ?? (entry.name.endsWith('/') ? '5' : '0');
  const content = typeof entry.content === 'object' ? entry.content : Buffer.from(entry.content ?? '', 'latin1');
  const header = Buffer.alloc(512);
  header.write(entry.name, 0, 100, 'latin1');
  header.write(octal(entry.mode ?? (type === '5' ? 0o755 : 0o644), 8), 100);
  header.write(octal(entry.uid ?? 0, 8), 108);
  header.write(octal(entry.gid ?? 0, 8), 116);
  header.write(octal(content.length, 12), 124);
  header.write(octal(entry.mtime ?? 1_600_000_000, 12), 136);
  header.write(type, 156, 'latin1');
  header.write(entry.linkName ?? '', 157, 100, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  header.write(octal(entry.devMajor ?? 0, 8), 329);
  header.write(octal(entry.devMinor ?? 0, 8), 337);
  for (const [offset, value] of entry.fields ?? []) {
    if (typeof value === 'string') header.write(value, offset, 'latin1');
    else value.copy(header, offset);
  }
  header.write('        ', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, '0')}\0`;
}
