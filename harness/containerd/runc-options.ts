import type { Any } from '../../snapshotter/api/well-known.ts';

/**
 * containerd.runc.v1.Options, of which two fields matter here: `root` (7), where runc keeps its state instead of
 * /run/containerd, and `binary_name` (6). A protobuf string field is its tag, a length and the bytes.
 */
export function encodeRuncOptions(options: { root: string; binaryName?: string }): Any {
  const fields = [
    ...(options.binaryName === undefined ? [] : [stringField(6, options.binaryName)]),
    stringField(7, options.root),
  ];
  return { type_url: 'containerd.runc.v1.Options', value: Buffer.concat(fields) };
}

function stringField(number: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const lengthDelimited = 2;
  return Buffer.concat([Buffer.from([(number << 3) | lengthDelimited, ...varint(bytes.length)]), bytes]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}
