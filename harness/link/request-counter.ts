/**
 * Counts HTTP/1.1 requests in the client's half of a connection (RFC 9112): a head ends at an empty line; Content-Length
 * or the chunked framing delimits a body. A stream that is not HTTP, such as TLS, is `opaque`: its count is unknown.
 */
export class RequestCounter {
  requests = 0;
  opaque = false;
  readonly #onHead: ((head: string) => void) | undefined;
  #state: 'head' | 'body' | 'chunk-size' | 'chunk-data' | 'trailer' = 'head';
  /** An incomplete line or head. */
  #text = '';
  #remainingBytes = 0;

  /** `onHead` is told of each head, without the empty line at its end. */
  constructor(onHead?: (head: string) => void) {
    this.#onHead = onHead;
  }

  feed(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length && !this.opaque) {
      switch (this.#state) {
        case 'body':
        case 'chunk-data': {
          const taken = Math.min(this.#remainingBytes, bytes.length - at);
          at += taken;
          this.#remainingBytes -= taken;
          if (this.#remainingBytes === 0) this.#state = this.#state === 'body' ? 'head' : 'chunk-size';
          break;
        }
        case 'head':
          at = this.#collect(bytes, at, '\r\n\r\n', (head) => this.#readHead(head));
          break;
        case 'chunk-size':
          at = this.#collect(bytes, at, '\r\n', (line) => this.#readChunkSize(line));
          break;
        case 'trailer':
          at = this.#collect(bytes, at, '\r\n', (line) => {
            if (line === '') this.#state = 'head';
          });
          break;
      }
    }
  }

  /** Collects text up to `end` and passes it on without `end`; returns the number of bytes consumed. */
  #collect(bytes: Uint8Array, at: number, end: string, take: (text: string) => void): number {
    const before = this.#text.length;
    this.#text += Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.length - at).toString('latin1');
    const found = this.#text.indexOf(end, Math.max(0, before - end.length + 1));
    if (found === -1) {
      if (this.#text.length > maxHeadBytes || !mayBeHttp(this.#state, this.#text)) this.opaque = true;
      return bytes.length;
    }
    const text = this.#text.slice(0, found);
    this.#text = '';
    take(text);
    return at + found + end.length - before;
  }

  #readHead(head: string): void {
    const requestLine = /^(?:\r\n)*([A-Z]+) \S+ HTTP\/1\.[01](?:\r\n|$)/.exec(head);
    if (requestLine === null) {
      this.opaque = true;
      return;
    }
    this.requests++;
    this.#onHead?.(head);
    if (/\r\ntransfer-encoding:[^\r]*chunked/i.test(head)) {
      this.#state = 'chunk-size';
      return;
    }
    this.#remainingBytes = Number(/\r\ncontent-length:\s*(\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#remainingBytes > 0) this.#state = 'body';
  }

  #readChunkSize(line: string): void {
    const size = Number.parseInt(line, 16);
    if (Number.isNaN(size)) {
      this.opaque = true;
      return;
    }
    // Including the CRLF after the data.
    this.#remainingBytes = size + 2;
    this.#state = size === 0 ? 'trailer' : 'chunk-data';
  }
}

const maxHeadBytes = 1 << 16;

function mayBeHttp(state: string, text: string): boolean {
  return state !== 'head' || /^[\r\nA-Z]/.test(text);
}
