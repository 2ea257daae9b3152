import type { HttpResponse } from './connections.ts';
import { type ContentRange, parseContentRange, parseUnsatisfiedRange } from './content-range.ts';
import { RegistryError } from './error.ts';
import { multipartBoundary, type Piece, readMultipart } from './multipart.ts';
import { headerText } from './transport.ts';

/** What was asked for: a suffix, or [start, end) (no end: all the rest). */
export type WantedRange =
  | { readonly suffixBytes: number }
  | { readonly start: number; readonly end: number | undefined };

/** A response to a range request whose header was checked against the request. */
export type RangeStream = { readonly kind: 'unsatisfied'; readonly totalBytes: number | undefined } | SatisfiedRange;

export type SatisfiedRange =
  | (Readable & { readonly kind: 'whole' })
  | (Readable & { readonly kind: 'part'; readonly start: number; readonly end: number });

interface Readable {
  readonly totalBytes: number | undefined;
  /** Bytes from `position` up to `end`, fewer if the body stops early; the rest of the body is discarded. */
  chunks(position: number, end: number | undefined): AsyncIterable<Buffer>;
}

/** Checks the header of a 200, 206 or 416; throws RegistryError `protocol` for a range that was not asked for. */
export async function openRange(response: HttpResponse, wanted: WantedRange, operation: string): Promise<RangeStream> {
  const { status, headers } = response;
  const contentRange = headerText(headers, 'content-range');
  if (status === 416) return { kind: 'unsatisfied', totalBytes: parseUnsatisfiedRange(contentRange) };
  // Servers without suffix ranges answer 400, 405 or 501, which blob-locator lets through.
  if (status !== 200 && status !== 206) return { kind: 'unsatisfied', totalBytes: undefined };

  const lengthText = headerText(headers, 'content-length');
  const lengthBytes = lengthText === undefined ? undefined : Number(lengthText);
  if (status === 200) {
    return {
      kind: 'whole',
      totalBytes: lengthBytes,
      chunks: (position, end) => cut(response, 0, position, end),
    };
  }

  const refuse = (detail: string): RegistryError => {
    response.body.destroy();
    return new RegistryError('protocol', detail, { operation, host: response.url.host, status });
  };
  const boundary = multipartBoundary(headerText(headers, 'content-type'));
  if (boundary !== undefined) return await multipartStream(response, wanted, boundary, refuse);

  const range = parseContentRange(contentRange);
  if (range === undefined) throw refuse('a 206 without a usable Content-Range');
  const complaint = complaintAbout(range, wanted);
  if (complaint !== undefined) throw refuse(complaint);
  if (lengthBytes !== undefined && lengthBytes !== range.end - range.start) {
    throw refuse(`Content-Length ${lengthBytes} for a range of ${range.end - range.start} bytes`);
  }
  return {
    kind: 'part',
    ...range,
    chunks: (position) => exactly(response, range.start, position, range.end, operation),
  };
}

/** Refuses more than was asked for; less is allowed, and the rest is requested again. */
function complaintAbout(range: ContentRange, wanted: WantedRange): string | undefined {
  const got = `the range ${range.start} to ${range.end}`;
  if ('suffixBytes' in wanted) {
    if (range.end - range.start > wanted.suffixBytes) return `${got} for a suffix of ${wanted.suffixBytes} bytes`;
    if (range.totalBytes === undefined) return undefined;
    const start = Math.max(0, range.totalBytes - wanted.suffixBytes);
    return range.start === start ? undefined : `${got} for a suffix that starts at ${start}`;
  }
  const isWithin = range.start === wanted.start && (wanted.end === undefined || range.end <= wanted.end);
  return isWithin ? undefined : `${got} for ${wanted.start} to ${wanted.end ?? 'the end'}`;
}

/** The body begins at `bodyStart`. Skips what lies before `position` and leaves unread what lies behind `end`. */
async function* cut(
  response: HttpResponse,
  bodyStart: number,
  position: number,
  end: number | undefined,
): AsyncGenerator<Buffer> {
  let offset = bodyStart;
  for await (const chunk of response.body) {
    const from = Math.max(0, position - offset);
    const to = end === undefined ? chunk.length : Math.min(chunk.length, end - offset);
    offset += chunk.length;
    if (from < to) yield from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to);
    if (end !== undefined && offset >= end) return;
  }
}

/** As `cut`, but throws where the body is longer than its Content-Range. */
async function* exactly(
  response: HttpResponse,
  bodyStart: number,
  position: number,
  end: number,
  operation: string,
): AsyncGenerator<Buffer> {
  let offset = bodyStart;
  for await (const chunk of response.body) {
    const from = Math.max(0, position - offset);
    offset += chunk.length;
    if (offset > end) {
      const fields = { operation, host: response.url.host, status: response.status };
      throw new RegistryError('protocol', 'more bytes came than its Content-Range says', fields);
    }
    if (from < chunk.length) yield from === 0 ? chunk : chunk.subarray(from);
  }
}

/** A single range may be answered as a multipart with one or more parts; the stream ends early at a gap between them. */
async function multipartStream(
  response: HttpResponse,
  wanted: WantedRange,
  boundary: string,
  refuse: (detail: string) => RegistryError,
): Promise<RangeStream> {
  const pieces = checkedPieces(readMultipart(response.body, boundary), wanted, refuse);
  const first = await pieces.next();
  if (first.done === true) throw refuse('a multipart 206 without a part');
  const { range, offset: start } = first.value;
  const complaint = complaintAbout({ ...range, end: 'suffixBytes' in wanted ? range.end : start + 1 }, wanted);
  if (complaint !== undefined) throw refuse(complaint);
  return {
    kind: 'part',
    start,
    end: range.end,
    totalBytes: range.totalBytes,
    async *chunks(position) {
      let offset = position;
      try {
        for (let step: IteratorResult<Piece> = first; step.done !== true; step = await pieces.next()) {
          const piece = step.value;
          if (piece.offset > offset) return;
          const bytes = piece.bytes.subarray(offset - piece.offset);
          offset += bytes.length;
          if (bytes.length > 0) yield bytes;
        }
      } finally {
        await pieces.return(undefined);
      }
    },
  };
}

async function* checkedPieces(
  pieces: AsyncIterable<Piece>,
  wanted: WantedRange,
  refuse: (detail: string) => RegistryError,
): AsyncGenerator<Piece, undefined> {
  const end = 'suffixBytes' in wanted ? undefined : wanted.end;
  try {
    for await (const piece of pieces) {
      if (end !== undefined && piece.range.end > end) throw refuse('a part beyond the range that was asked for');
      yield piece;
    }
  } catch (error) {
    throw error instanceof SyntaxError ? refuse(error.message) : error;
  }
}

/** The blob's size by a part that answers a suffix; undefined if that hides the size and may end before the blob does. */
export function sizeBehind(
  { start, end, totalBytes }: { readonly start: number; readonly end: number; readonly totalBytes: number | undefined },
  lengthBytes: number,
): number | undefined {
  if (totalBytes !== undefined) return totalBytes;
  return start > 0 || end === lengthBytes ? start + lengthBytes : undefined;
}

/** The value of a Range header. */
export function rangeHeader(
  wanted: { readonly suffixBytes: number } | { readonly start: number; readonly end: number },
): string {
  return 'suffixBytes' in wanted ? `bytes=-${wanted.suffixBytes}` : `bytes=${wanted.start}-${wanted.end - 1}`;
}

export function checkLength(lengthBytes: number): void {
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes <= 0) {
    throw new RangeError(`a suffix of ${lengthBytes} bytes cannot be fetched`);
  }
}
