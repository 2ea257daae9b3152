import type { Answer } from './exchange.ts';

/** Forms of responses to a range request. Each modifies a proper 206 and returns anything else unchanged. */

interface Part {
  readonly start: number;
  /** The last byte, as in the header. */
  readonly last: number;
  readonly total: string;
}

const boundary = "a 'quoted' boundary";

export function partOf({ status, headers }: Answer): Part | undefined {
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(String(headers['content-range'] ?? ''));
  if (status !== 206 || range === null) return undefined;
  return { start: Number(range[1]), last: Number(range[2]), total: range[3]! };
}

/** The same bytes with another Content-Range. */
export function relabelled(answer: Answer, relabel: (part: Part) => Part): Answer {
  const part = partOf(answer);
  if (part === undefined) return answer;
  const { start, last, total } = relabel(part);
  return { ...answer, headers: { ...answer.headers, 'content-range': `bytes ${start}-${last}/${total}` } };
}

/** Only the first `sizeBytes` of the range, with a correct Content-Range. */
export function shortened(answer: Answer, sizeBytes: number): Answer {
  const part = partOf(answer);
  if (part === undefined || part.last - part.start + 1 <= sizeBytes) return answer;
  const last = part.start + sizeBytes - 1;
  const headers = { ...answer.headers, 'content-length': sizeBytes };
  const shorter = relabelled({ ...answer, headers }, () => ({ ...part, last }));
  return { ...shorter, body: firstBytes(answer.body!, sizeBytes) };
}

/** More bytes than the Content-Range says. */
export function withExtraBytes(answer: Answer): Answer {
  if (partOf(answer) === undefined) return answer;
  return { ...withoutLength(answer), body: followedBy(answer.body!, Buffer.from('more than was asked for')) };
}

/** multipart/byteranges with one part, or two adjacent ones. */
export function asMultipart(answer: Answer, parts: 1 | 2): Answer {
  const part = partOf(answer);
  if (part === undefined) return answer;
  const bare = withoutLength(answer);
  const { 'content-range': _told, ...headers } = bare.headers;
  const middle = parts === 2 && part.last > part.start ? Math.floor((part.start + part.last) / 2) : part.last;
  return {
    ...bare,
    headers: { ...headers, 'content-type': `multipart/byteranges; boundary="${boundary}"` },
    body: inParts(answer.body!, part, middle),
  };
}

/** Chunked instead of a Content-Length. */
export function withoutLength(answer: Answer): Answer {
  const { 'content-length': _told, ...headers } = answer.headers;
  return { ...answer, headers };
}

async function* inParts(body: AsyncIterable<Buffer>, { start, last, total }: Part, middle: number) {
  const head = (from: number, to: number): Buffer =>
    Buffer.from(
      `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${from}-${to}/${total}\r\n\r\n`,
    );
  let offset = start;
  yield head(start, middle);
  for await (const piece of body) {
    const first = piece.subarray(0, Math.max(0, middle + 1 - offset));
    if (first.length > 0) yield first;
    if (first.length < piece.length) {
      if (offset <= middle + 1) yield head(middle + 1, last);
      yield piece.subarray(first.length);
    }
    offset += piece.length;
  }
  yield Buffer.from(`\r\n--${boundary}--\r\n`);
}

async function* firstBytes(body: AsyncIterable<Buffer>, sizeBytes: number) {
  let leftBytes = sizeBytes;
  for await (const piece of body) {
    yield piece.subarray(0, leftBytes);
    leftBytes -= piece.length;
    if (leftBytes <= 0) return;
  }
}

async function* followedBy(body: AsyncIterable<Buffer>, extra: Buffer) {
  yield* body;
  yield extra;
}
