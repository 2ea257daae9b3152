import { type ContentRange, parseContentRange } from './content-range.ts';

/** Some bytes of a part, and where they lie in the blob. */
export interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
  readonly range: ContentRange;
}

const maxHeadBytes = 8 * 1024;

export function multipartBoundary(contentType: string | undefined): string | undefined {
  const match = /^multipart\/byteranges\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType ?? '');
  return match?.[1] ?? match?.[2];
}

/**
 * The parts of a multipart/byteranges body (RFC 9110, 14.6) as they arrive, payload uncopied. Lengths come from each
 * part's Content-Range, so the payload is never searched for the boundary. Ends without an error where the body ends;
 * throws SyntaxError if it is not multipart.
 */
export async function* readMultipart(body: AsyncIterable<Buffer>, boundary: string): AsyncGenerator<Piece> {
  const delimiter = `--${boundary}`;
  let head: Buffer = Buffer.alloc(0);
  let range: ContentRange | undefined;
  let offset = 0;
  for await (const chunk of body) {
    let rest = chunk;
    while (rest.length > 0) {
      if (range !== undefined) {
        const bytes = rest.subarray(0, range.end - offset);
        rest = rest.subarray(bytes.length);
        yield { offset, bytes, range };
        offset += bytes.length;
        if (offset === range.end) range = undefined;
        continue;
      }
      const scanned = head.length;
      head = scanned === 0 ? rest : Buffer.concat([head, rest]);
      const headEnd = endOfHead(head, delimiter);
      if (headEnd === 'closed') return;
      if (headEnd === undefined) {
        if (head.length > maxHeadBytes) throw new SyntaxError('the head of a part is too long');
        break;
      }
      range = rangeOf(head.toString('latin1', 0, headEnd));
      offset = range.start;
      rest = head.subarray(headEnd);
      head = Buffer.alloc(0);
    }
  }
}

/** Where the payload begins behind `--boundary CRLF headers CRLF CRLF`; undefined: more is needed. */
function endOfHead(head: Buffer, delimiter: string): number | 'closed' | undefined {
  const at = head.indexOf(delimiter, 0, 'latin1');
  if (at < 0) return undefined;
  const after = at + delimiter.length;
  if (head.length >= after + 2 && head.toString('latin1', after, after + 2) === '--') return 'closed';
  const blank = head.indexOf('\r\n\r\n', after, 'latin1');
  return blank < 0 ? undefined : blank + 4;
}

function rangeOf(head: string): ContentRange {
  const range = parseContentRange(/^content-range:[ \t]*(.*?)[ \t]*$/im.exec(head)?.[1]);
  if (range === undefined) throw new SyntaxError('a part has no usable Content-Range');
  return range;
}
