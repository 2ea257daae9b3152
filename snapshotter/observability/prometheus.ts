import { createServer, type IncomingMessage, type Server } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { parseListenAddress } from '../config/listen-address.ts';
import type { DaemonMetrics, Fallback } from './metrics.ts';

/** What is served besides the series. */
export interface Observed {
  readonly layers: { readonly mountedCount: number; debugLayers(): unknown };
  /** The document of /debug/status. */
  status(): unknown;
}

interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body?: string;
}

/** The daemon's series, in their own prom-client registry. */
export class Prometheus implements DaemonMetrics {
  readonly registry = new Registry();
  readonly fetch: DaemonMetrics['fetch'];
  readonly #lazyMounts: Histogram;
  readonly #fallbacks: Counter<'reason'>;
  readonly #wrongBytes: Counter<'server'>;
  readonly #calls: Histogram<'method' | 'code'>;
  readonly #inFlight: Gauge<'method'>;
  #server: Server | undefined;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#lazyMounts = new Histogram({
      name: 'stargz_lazy_mount_seconds',
      help: 'Time from Prepare to a lazily mounted layer; the count is the number of lazy mounts',
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    });
    this.#fallbacks = new Counter({
      name: 'stargz_fallbacks_total',
      help: 'Layers left to an ordinary pull, by reason',
      labelNames: ['reason'],
      registers,
    });
    this.#wrongBytes = new Counter({
      name: 'stargz_servers_distrusted_total',
      help: 'How often a server gave bytes that failed their digest and was asked last from then on',
      labelNames: ['server'],
      registers,
    });
    this.#calls = new Histogram({
      name: 'stargz_grpc_call_seconds',
      help: 'gRPC calls by method and status',
      labelNames: ['method', 'code'],
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers,
    });
    this.#inFlight = new Gauge({
      name: 'stargz_grpc_calls_in_flight',
      help: 'gRPC calls being answered',
      labelNames: ['method'],
      registers,
    });
    this.fetch = fetchSeries(registers);
  }

  lazyMount(durationMs: number): void {
    this.#lazyMounts.observe(durationMs / 1000);
  }

  fallback({ reason }: Fallback): void {
    this.#fallbacks.inc({ reason });
  }

  wrongBytes(server: string): void {
    this.#wrongBytes.inc({ server });
  }

  callStarted(method: string): void {
    this.#inFlight.inc({ method });
  }

  callFinished(method: string, code: string, durationMs: number): void {
    this.#inFlight.dec({ method });
    this.#calls.observe({ method, code }, durationMs / 1000);
  }

  /** `readHits` returns the count so far. */
  observeReadHits(readHits: () => number): void {
    new Counter({
      name: 'stargz_fuse_read_hits_total',
      help: 'Reads that the FUSE thread answered with content that was here',
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(readHits());
      },
    });
  }

  /**
   * Serves /metrics, /debug/layers and /debug/status. Resolves to host:port, the port being the kernel's choice for 0.
   */
  async listen(address: string, observed: Observed): Promise<string> {
    const found = parseListenAddress(address);
    if (found === undefined) throw new Error(`metrics_address: expected host:port, found "${address}"`);
    new Gauge({
      name: 'stargz_layers_mounted',
      help: 'Layers mounted now',
      registers: [this.registry],
      collect() {
        this.set(observed.layers.mountedCount);
      },
    });
    const server = createServer((request, response) => {
      void this.#answer(request, observed).then(({ status, type = 'text/plain', body = '' }) =>
        response.writeHead(status, { 'content-type': type }).end(body),
      );
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      // Not removed after listening: a later error of accept(2) must not end the daemon.
      server.on('error', (error) =>
        reject(new Error(`metrics_address ${address}: ${error.message}`, { cause: error })),
      );
      server.listen(found.port, found.host, resolve);
    });
    const bound = server.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : found.port;
    const { host = '::' } = found;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  /** Never rejects: an observer must not end the daemon. */
  async #answer({ method, url }: IncomingMessage, observed: Observed): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return { status: 405 };
    try {
      switch (url?.split('?')[0]) {
        case '/metrics':
          return { status: 200, type: this.registry.contentType, body: await this.registry.metrics() };
        case '/debug/layers':
          return jsonAnswer(observed.layers.debugLayers());
        case '/debug/status':
          return jsonAnswer(observed.status());
        default:
          return { status: 404, body: 'this serves /metrics, /debug/layers and /debug/status\n' };
      }
    } catch (error) {
      return { status: 500, body: `${(error as Error).message}\n` };
    }
  }

  close(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
  }
}

function jsonAnswer(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value, undefined, 2)}\n` };
}

function fetchSeries(registers: Registry[]): DaemonMetrics['fetch'] {
  const bytes = new Counter({
    name: 'stargz_fetched_bytes_total',
    help: 'Compressed bytes fetched from registries',
    labelNames: ['priority'],
    registers,
  });
  const requests = new Histogram({
    name: 'stargz_fetch_seconds',
    help: 'Ranged requests, from sending to the last byte used',
    labelNames: ['priority', 'outcome'],
    buckets: [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    registers,
  });
  const inFlight = new Gauge({
    name: 'stargz_fetches_in_flight',
    help: 'Ranged requests under way',
    labelNames: ['priority'],
    registers,
  });
  const ensured = new Counter({
    name: 'stargz_store_requests_total',
    help: 'Ranges asked of the layer store: hit (present), joined (in flight already), miss (fetched)',
    labelNames: ['priority', 'result'],
    registers,
  });
  const waited = new Histogram({
    name: 'stargz_read_wait_seconds',
    help: 'How long a read waited for content that was not there',
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    registers,
  });
  const rejected = new Counter({
    name: 'stargz_chunks_rejected_total',
    help: 'Chunks whose content was refused',
    registers,
  });
  return {
    requestStarted: (priority) => inFlight.inc({ priority }),
    requestFinished(priority, outcome, durationMs) {
      inFlight.dec({ priority });
      requests.observe({ priority, outcome }, durationMs / 1000);
    },
    bytesFetched: (priority, sizeBytes) => bytes.inc({ priority }, sizeBytes),
    ensured: (priority, result) => ensured.inc({ priority, result }),
    demandWaited: (durationMs) => waited.observe(durationMs / 1000),
    chunkRejected: () => rejected.inc(),
  };
}
