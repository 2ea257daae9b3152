/** `Content-Range: bytes 0-99/1000` as [start, end) and the whole's size, where the server knows it. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly totalBytes: number | undefined;
}

/** RFC 9110, 14.4; undefined if the numbers are inconsistent. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = /^bytes\s+(\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/i.exec(header?.trim() ?? '');
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  const totalBytes = match[3] === '*' ? undefined : Number(match[3]);
  if (end <= start || !Number.isSafeInteger(end)) return undefined;
  if (totalBytes !== undefined && (!Number.isSafeInteger(totalBytes) || end > totalBytes)) return undefined;
  return { start, end, totalBytes };
}

/** The whole's size from the `bytes *`+`/1000` of a 416. */
export function parseUnsatisfiedRange(header: string | undefined): number | undefined {
  const match = /^bytes\s+\*\/(\d{1,16})$/i.exec(header?.trim() ?? '');
  return match === null ? undefined : Number(match[1]);
}
