import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { type Observed, Prometheus } from './prometheus.ts';

const limit = { timeout: 20_000 };

const idle: Observed = { layers: { mountedCount: 0, debugLayers: () => [] }, status: () => ({}) };

async function serve(t: TestContext, observed: Observed) {
  const prometheus = new Prometheus();
  t.after(() => prometheus.close());
  const address = await prometheus.listen('127.0.0.1:0', observed);
  const get = (path: string, method = 'GET') => fetch(`http://${address}${path}`, { method });
  return { prometheus, get };
}

test(
  'every series of the daemon is in the table of deploy/README.md with its labels, and nothing else',
  limit,
  async (t) => {
    const { prometheus } = await serve(t, idle);
    prometheus.observeReadHits(() => 0);
    const served = (await prometheus.registry.getMetricsAsArray())
      .filter(({ name }) => name.startsWith('stargz_'))
      .map((metric) => {
        const { labelNames = [] } = metric as unknown as { labelNames?: string[] };
        return `${metric.name} ${labelNames.join(', ')}`.trim();
      });
    const readme = readFileSync(new URL('../deploy/README.md', import.meta.url), 'utf8');
    const documented = [...readme.matchAll(/^\| `(stargz_\w+)` \|([^|]*)\|/gm)].map(([, name, labels]) =>
      `${name} ${labels!.replaceAll('`', '').trim()}`.trim(),
    );
    assert.deepEqual(documented.sort(), served.sort());
  },
);

test('mounts, fallbacks, calls and fetches are counted in their series', limit, async (t) => {
  const layers = { mountedCount: 2, debugLayers: () => [{ digest: 'd', fetchedShare: 0.5 }] };
  const { prometheus, get } = await serve(t, { layers, status: () => ({ state: 'serving' }) });
  prometheus.lazyMount(200);
  prometheus.fallback({ reason: 'not-lazy' });
  prometheus.wrongBytes('mirror.test:5000');
  prometheus.callStarted('Stat');
  prometheus.callStarted('Prepare');
  prometheus.callFinished('Prepare', 'OK', 5);
  prometheus.fetch.requestStarted('demand');
  prometheus.fetch.requestFinished('demand', 'ok', 30);
  prometheus.fetch.bytesFetched('demand', 100);
  prometheus.fetch.ensured('demand', 'hit');
  prometheus.fetch.demandWaited(40);
  let hits = 6;
  prometheus.observeReadHits(() => ++hits);
  const response = await get('/metrics');
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const lines = (await response.text()).split('\n');
  for (const line of [
    'stargz_layers_mounted 2',
    'stargz_fuse_read_hits_total 7',
    'stargz_lazy_mount_seconds_bucket{le="0.1"} 0',
    'stargz_lazy_mount_seconds_bucket{le="0.3"} 1',
    'stargz_fallbacks_total{reason="not-lazy"} 1',
    'stargz_servers_distrusted_total{server="mirror.test:5000"} 1',
    'stargz_grpc_calls_in_flight{method="Stat"} 1',
    'stargz_grpc_calls_in_flight{method="Prepare"} 0',
    'stargz_grpc_call_seconds_count{method="Prepare",code="OK"} 1',
    'stargz_fetches_in_flight{priority="demand"} 0',
    'stargz_fetch_seconds_count{priority="demand",outcome="ok"} 1',
    'stargz_fetched_bytes_total{priority="demand"} 100',
    'stargz_store_requests_total{priority="demand",result="hit"} 1',
    'stargz_read_wait_seconds_bucket{le="0.03"} 0',
    'stargz_read_wait_seconds_bucket{le="0.1"} 1',
  ]) {
    assert.ok(lines.includes(line), line);
  }
  const debug = await get('/debug/layers?pretty');
  assert.equal(debug.headers.get('content-type'), 'application/json');
  assert.deepEqual(await debug.json(), layers.debugLayers());
  assert.deepEqual(await (await get('/debug/status')).json(), { state: 'serving' });
});

test(
  'a failing source, an unknown path and another method get an HTTP status, and the server goes on',
  limit,
  async (t) => {
    let isBroken = true;
    const { get } = await serve(t, {
      ...idle,
      layers: {
        mountedCount: 0,
        debugLayers() {
          if (isBroken) throw new Error('a layer went away');
          return [];
        },
      },
    });
    const broken = await get('/debug/layers');
    assert.deepEqual([broken.status, await broken.text()], [500, 'a layer went away\n']);
    assert.equal((await get('/nothing')).status, 404);
    assert.equal((await get('/metrics', 'POST')).status, 405);
    isBroken = false;
    assert.equal((await get('/debug/layers')).status, 200);
  },
);

test('an address in use is an error that names the option', limit, async (t) => {
  const first = new Prometheus();
  const second = new Prometheus();
  t.after(() => first.close());
  const address = await first.listen('127.0.0.1:0', idle);
  await assert.rejects(second.listen(address, idle), /^Error: metrics_address 127\.0\.0\.1:\d+: .*EADDRINUSE/);
});
