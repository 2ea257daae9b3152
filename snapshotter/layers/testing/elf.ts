export interface TestElf {
  readonly interpreter?: string;
  readonly needed?: readonly string[];
  /** Where the dynamic section begins, so that it may lie in a later chunk. */
  readonly dynamicOffset?: number;
}

/** An ELF64 file with the headers, strings and dynamic section that ld.so reads, and no code. */
export function encodeElf({ interpreter, needed = [], dynamicOffset = 4096 }: TestElf): Buffer {
  const address = 0x400000;
  const stringsOffset = 1024;
  const strings = Buffer.from(`\0${needed.map((name) => `${name}\0`).join('')}`);
  const interpreterOffset = 512;
  const dynamic = Buffer.alloc(16 * (needed.length + 2));
  let stringAt = 1;
  needed.forEach((name, at) => {
    dynamic.writeBigInt64LE(1n, 16 * at);
    dynamic.writeBigUInt64LE(BigInt(stringAt), 16 * at + 8);
    stringAt += name.length + 1;
  });
  dynamic.writeBigInt64LE(5n, 16 * needed.length);
  dynamic.writeBigUInt64LE(BigInt(address + stringsOffset), 16 * needed.length + 8);
  const file = Buffer.alloc(dynamicOffset + dynamic.length);
  const segments: [type: number, offset: number, address: number, sizeBytes: number][] = [
    [1, 0, address, stringsOffset + strings.length],
    [2, dynamicOffset, address + dynamicOffset, dynamic.length],
    ...(interpreter === undefined
      ? []
      : [
          [3, interpreterOffset, address + interpreterOffset, interpreter.length + 1] as [
            number,
            number,
            number,
            number,
          ],
        ]),
  ];
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(segments.length, 56);
  segments.forEach(([type, offset, vaddr, sizeBytes], at) => {
    const row = 64 + 56 * at;
    file.writeUInt32LE(type, row);
    file.writeBigUInt64LE(BigInt(offset), row + 8);
    file.writeBigUInt64LE(BigInt(vaddr), row + 16);
    file.writeBigUInt64LE(BigInt(sizeBytes), row + 32);
  });
  if (interpreter !== undefined) file.write(`${interpreter}\0`, interpreterOffset);
  file.set(strings, stringsOffset);
  file.set(dynamic, dynamicOffset);
  return file;
}
