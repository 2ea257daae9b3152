import { crc32 } from 'node:zlib';

/**
 * One line of JSON that shows when it was damaged on disk: the JSON, a tab, and its CRC-32 in eight hex digits. A changed
 * digit in a number is valid JSON still.
 */
export function sealJson(value: object): string {
  const json = JSON.stringify(value);
  return `${json}\t${sumOf(json)}`;
}

/** What `sealJson` was given. Throws for a line that it cannot have written. */
export function unsealJson(line: string): unknown {
  const end = line.length - 9;
  const json = line.slice(0, Math.max(0, end));
  if (line[end] !== '\t' || line.slice(end + 1) !== sumOf(json)) throw new Error('it does not have its checksum');
  return JSON.parse(json);
}

function sumOf(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}
