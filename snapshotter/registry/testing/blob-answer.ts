import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * How a ranged GET of a blob is answered: as asked; with the whole and 200; as multipart/byteranges of one part or of
 * two; with bytes beyond the range; with another range than the one asked for; or so that
 * suffix ranges alone are answered with the whole (`suffix-whole`) or with 400 (`suffix-refused`).
 */
export type BlobAnswer =
  | 'range'
  | 'whole'
  | 'multipart'
  | 'multipart-split'
  | 'extra'
  | 'shifted'
  | 'suffix-whole'
  | 'suffix-refused';

const boundary = 'a "quoted" boundary'.replaceAll('"', "'");

/** Passes an upstream answer on, altered as told. `cutAfterBytes`: the connection ends there. */
export function answerBlob(
  answer: IncomingMessage,
  response: ServerResponse,
  kind: BlobAnswer,
  hidesSize: boolean,
  cutAfterBytes: number | undefined,
): void {
  const headers = { ...answer.headers };
  delete headers.connection;
  delete headers['keep-alive'];
  const status = answer.statusCode ?? 502;
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '');
  if (status !== 206 || range === null || kind === 'whole') {
    response.writeHead(status, headers);
    pass(answer, response, cutAfterBytes);
    return;
  }

  const [start, last, total] = [Number(range[1]), Number(range[2]), hidesSize ? '*' : range[3]!];
  switch (kind) {
    case 'range':
    case 'suffix-whole':
    case 'suffix-refused':
      response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${last}/${total}` });
      pass(answer, response, cutAfterBytes);
      return;
    case 'extra':
      delete headers['content-length'];
      response.writeHead(206, headers);
      answer.on('data', (chunk: Buffer) => response.write(chunk));
      answer.on('end', () => response.end('more than was asked for'));
      return;
    case 'shifted':
      response.writeHead(206, { ...headers, 'content-range': `bytes ${start + 1}-${last + 1}/${total}` });
      pass(answer, response, cutAfterBytes);
      return;
    case 'multipart':
    case 'multipart-split': {
      const type = `multipart/byteranges; boundary="${boundary}"`;
      delete headers['content-length'];
      delete headers['content-range'];
      response.writeHead(206, { ...headers, 'content-type': type });
      const middle = kind === 'multipart-split' && last > start ? Math.floor((start + last) / 2) : last;
      writeParts(answer, response, start, last, middle, total, cutAfterBytes);
    }
  }
}

function pass(answer: IncomingMessage, response: ServerResponse, cutAfterBytes: number | undefined): void {
  if (cutAfterBytes === undefined) {
    answer.pipe(response);
    answer.once('aborted', () => response.destroy());
    return;
  }
  response.flushHeaders();
  let leftBytes = Math.floor(cutAfterBytes);
  answer.on('data', (chunk: Buffer) => {
    const part = chunk.subarray(0, leftBytes);
    leftBytes -= part.length;
    if (leftBytes > 0) return void response.write(part);
    answer.destroy();
    // Half of the bytes on the wire arrive before the end of the connection does.
    response.write(part, () => response.destroy());
  });
  answer.once('end', () => response.destroy());
}

function writeParts(
  answer: IncomingMessage,
  response: ServerResponse,
  start: number,
  last: number,
  middle: number,
  total: string,
  cutAfterBytes: number | undefined,
): void {
  const head = (from: number, to: number): string =>
    `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${from}-${to}/${total}\r\n\r\n`;
  let offset = start;
  let leftBytes = cutAfterBytes === undefined ? Number.POSITIVE_INFINITY : Math.floor(cutAfterBytes);
  response.write(head(start, middle));
  answer.on('data', (whole: Buffer) => {
    const chunk = whole.subarray(0, leftBytes);
    const first = chunk.subarray(0, Math.max(0, middle + 1 - offset));
    response.write(first);
    if (first.length < chunk.length) {
      if (offset <= middle + 1) response.write(head(middle + 1, last));
      response.write(chunk.subarray(first.length));
    }
    offset += chunk.length;
    leftBytes -= chunk.length;
    if (leftBytes > 0) return;
    answer.destroy();
    response.write('', () => response.destroy());
  });
  answer.on('end', () => {
    if (cutAfterBytes === undefined) response.end(`\r\n--${boundary}--\r\n`);
    else response.destroy();
  });
}
