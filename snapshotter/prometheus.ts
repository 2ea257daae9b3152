import { createServer, type Server } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { DaemonMetrics } from './metrics.ts';

/** `host:port` -> what `listen` takes. Throws with the option's name. */
export function parseListenAddress(address: string): { host: string; port: number } {
  const found = /^(?:\[([0-9a-fA-F:]+)\]|([^:]*)):(\d{1,5})$/.exec(address.replace(/^tcp:\/\//, ''));
  const port = Number(found?.[3] ?? -1);
  if (found === null || port > 65_535) throw new Error(`metrics_address: expected host:port, found "${address}"`);
  return { host: found[1] ?? (found[2] === '' ? '0.0.0.0' : found[2]!), port };
}

/** The series of the daemon, in a registry of their own. */
export class Prometheus implements DaemonMetrics {
  readonly registry = new Registry();
  readonly fetch: DaemonMetrics['fetch'];
  readonly #lazyMounts: Histogram;
  readonly #fallbacks: Counter<'reason'>;
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

  fallback(reason: string): void {
    this.#fallbacks.inc({ reason });
  }

  callStarted(method: string): void {
    this.#inFlight.inc({ method });
  }

  callFinished(method: string, code: string, durationMs: number): void {
    this.#inFlight.dec({ method });
    this.#calls.observe({ method, code }, durationMs / 1000);
  }

  /** Serves /metrics and /debug/layers. Returns the port (the configured one, or the one the system chose for 0). */
  async listen(address: string, describeLayers: () => unknown): Promise<number> {
    const { host, port } = parseListenAddress(address);
    const server = createServer(async (request, response) => {
      const path = request.url?.split('?')[0];
      if (request.method !== 'GET' && request.method !== 'HEAD') response.writeHead(405).end();
      else if (path === '/metrics') {
        response.writeHead(200, { 'content-type': this.registry.contentType }).end(await this.registry.metrics());
      } else if (path === '/debug/layers') {
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(`${JSON.stringify(describeLayers(), undefined, 2)}\n`);
      } else response.writeHead(404).end('this serves /metrics and /debug/layers\n');
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) =>
        reject(new Error(`metrics_address ${address}: ${error.message}`, { cause: error })),
      );
      server.listen(port, host, resolve);
    });
    const bound = server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : port;
  }

  close(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
  }
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
