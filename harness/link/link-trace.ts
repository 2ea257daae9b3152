/** Times are milliseconds of CLOCK_MONOTONIC, which all processes of a machine share. */
export interface LinkTrace {
  /** In the order in which they were sent. Empty where a connection carried anything but HTTP. */
  readonly requests: readonly TracedRequest[];
  /** In the order of departure. Their bytes add up to those that were counted. */
  readonly arrivals: readonly Arrival[];
}

export interface TracedRequest {
  readonly method: string;
  /** Without its query, which may be a signature. */
  readonly path: string;
  /** Of the Range header, after `bytes=`. */
  readonly range: string | undefined;
  readonly sentMs: number;
  /** Arrivals at the client; undefined before the first. */
  readonly firstByteMs: number | undefined;
  readonly lastByteMs: number | undefined;
  /** Of the whole response, with its head, as far as it has departed. */
  readonly bytes: number;
}

export interface Arrival {
  readonly atMs: number;
  readonly bytes: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/**
 * What crosses the link while a start is traced. On one connection all that departs to the client after a request belongs to that one: no
 * client of HTTP/1.1 here sends the next before it has the whole response.
 */
export class LinkTracer {
  readonly #requests: Mutable<TracedRequest>[] = [];
  readonly #arrivals: Arrival[] = [];

  /** Begins a request with this head. */
  begin(head: string, sentMs: number): Mutable<TracedRequest> {
    const [, method = '', path = ''] = /^(?:\r\n)*([A-Z]+) ([^\s?]+)/.exec(head) ?? [];
    const range = /\r\nrange:\s*bytes=([\d-]+)/i.exec(head)?.[1];
    const request = { method, path, range, sentMs, firstByteMs: undefined, lastByteMs: undefined, bytes: 0 };
    this.#requests.push(request);
    return request;
  }

  /** Bytes of `request`, or of a connection without one. */
  arrive(request: Mutable<TracedRequest> | undefined, bytes: number, atMs: number): void {
    this.#arrivals.push({ atMs, bytes });
    if (request === undefined) return;
    request.firstByteMs ??= atMs;
    request.lastByteMs = atMs;
    request.bytes += bytes;
  }

  read(isHttp: boolean): LinkTrace {
    return { requests: isHttp ? this.#requests : [], arrivals: this.#arrivals };
  }
}
