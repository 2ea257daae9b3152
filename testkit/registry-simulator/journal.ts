import type { SimulatedRequest, Site } from './exchange.ts';

/** Counts since the start of the simulator. */
export interface SimulatorCounts {
  requests: number;
  blobs: number;
  manifests: number;
  cdn: number;
  cdnRefused: number;
  unauthorized: number;
  /** Requests at the CDN or elsewhere with an Authorization or the private header. */
  leaks: number;
  tooManyRequests: number;
  serverErrors: number;
  resets: number;
  cuts: number;
  connections: number;
}

export interface JournalEntry {
  readonly site: Site;
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** One `name: value` per line. */
  readonly headers: string;
}

/** A header configured for one host, which must not be sent to another. */
export const privateHeader = 'x-private';

/** Records every request of every site with all headers, to find secrets where they should not be. */
export class Journal {
  readonly entries: JournalEntry[] = [];
  readonly counts: SimulatorCounts = {
    requests: 0,
    blobs: 0,
    manifests: 0,
    cdn: 0,
    cdnRefused: 0,
    unauthorized: 0,
    leaks: 0,
    tooManyRequests: 0,
    serverErrors: 0,
    resets: 0,
    cuts: 0,
    connections: 0,
  };

  note({ site, kind, method, url, headers }: SimulatedRequest): void {
    const { counts } = this;
    counts.requests++;
    if (site === 'cdn') counts.cdn++;
    else if (kind === 'blob') counts.blobs++;
    else if (url.pathname.includes('/manifests/')) counts.manifests++;
    const isStranger = site === 'cdn' || site === 'elsewhere';
    if (isStranger && (headers.authorization !== undefined || headers[privateHeader] !== undefined)) counts.leaks++;
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`);
    this.entries.push({ site, method, target: url.pathname + url.search, headers: lines.join('\n') });
  }

  /** The form of a token request, which contains secrets as well. */
  noteBody(site: Site, body: string): void {
    this.entries.push({ site, method: 'BODY', target: '', headers: body });
  }

  /** The sites that received this text in a header, a URL or a form. */
  sitesTold(secret: string): Site[] {
    const forms = [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64').replace(/=+$/, '')];
    const told = this.entries.filter(({ headers, target }) =>
      forms.some((form) => headers.includes(form) || target.includes(form)),
    );
    return [...new Set(told.map(({ site }) => site))].sort();
  }
}
