import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Fault, fault } from '../../testkit/registry-simulator/faults.ts';
import { startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';
import { RegistryClient } from '../registry/client.ts';
import type { WrongBytes } from '../registry/sender.ts';
import { buildTestBlob } from '../store/testing/blob.ts';
import type { LayerStore } from '../store/layer-store.ts';
import { noFetchMetrics } from '../store/metrics.ts';
import { InflatePool } from '../store/inflate-pool.ts';
import { FetchScheduler } from '../store/scheduler.ts';
import { LayerSources } from './layer-sources.ts';
import { defaultLayerConfig } from '../bench/layer-config.ts';
import { requestFor, testFiles } from './testing/registry.ts';

const limit = { timeout: 30_000 };
/** Larger than what is fetched with the footer, so content and TOC may come from different servers. */
const files = testFiles(40, 20_000);

/** The layer of these files, opened from a registry behind mirrors with these faults. */
async function openBehind(
  t: TestContext,
  bent: readonly Fault[][],
  change: { readonly registry?: Fault[]; readonly entries?: readonly object[] } = {},
) {
  const blob = buildTestBlob(files, { entries: change.entries ?? [] });
  const servers = [];
  for (const faults of [...bent, change.registry ?? []]) {
    const server = await startRegistrySimulator({ content: { blobs: [blob.bytes] }, faults });
    t.after(() => server.close());
    servers.push(server);
  }
  const registry = servers.at(-1)!;
  const reports: WrongBytes[] = [];
  let rejected = 0;
  const client = new RegistryClient({
    hosts: { [registry.host]: { mirrors: servers.slice(0, -1).map(({ host }) => ({ host })) } },
    onWrongBytes: (report) => void reports.push(report),
    retry: { maxRetries: 2, minWaitMs: 1, maxWaitMs: 2 },
  });
  t.after(() => client.close());
  const root = mkdtempSync(join(tmpdir(), 'wrong-bytes-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const scheduler = new FetchScheduler();
  t.after(() => scheduler.close());
  const inflaters = new InflatePool();
  t.after(() => inflaters.close());
  const sources = new LayerSources(
    {
      root,
      registry: client,
      scheduler,
      inflaters,
      config: defaultLayerConfig,
      log: { info: () => {}, warn: () => {} },
      metrics: { ...noFetchMetrics, chunkRejected: () => void rejected++ },
    },
    () => {},
  );
  t.after(() => sources.close());
  const open = async (): Promise<LayerStore> => {
    const { store, memory } = await sources.open(requestFor(blob, { reference: `${registry.host}/team/image:1` }));
    t.after(() => store.close().then(() => memory.close()));
    return store;
  };
  return { open, reports, servers, rejected: () => rejected };
}

function contentOf(store: LayerStore): Buffer {
  return readFileSync(store.dataPath).subarray(0, store.table.dataSizeBytes);
}

async function readAll(store: LayerStore): Promise<void> {
  await store.ensure(0, store.table.dataSizeBytes, 'demand');
  const content = contentOf(store);
  for (const { content: expected } of files) assert.ok(content.includes(expected), 'a file came out wrong');
}

test('chunks that fail their digest come from the next server, and readers do not notice', limit, async (t) => {
  // The first answer, which brings footer and TOC, is right.
  const later = damagesAfterFirst();
  const { open, reports, servers, rejected } = await openBehind(t, [[later], [fault('damages-blobs')]]);
  const store = await open();
  assert.equal(reports.length, 0);
  await readAll(store);
  assert.ok(rejected() > 0, 'nothing was refused');
  assert.deepEqual(new Set(reports.map(({ server }) => server)), new Set(servers.slice(0, 2).map(({ host }) => host)));
});

test('a TOC that fails its digest comes from the next server', limit, async (t) => {
  const { open, reports, servers } = await openBehind(t, [[fault('damages-blobs', { bend: damageToc })]]);
  await readAll(await open());
  assert.deepEqual(
    reports.map(({ server }) => server),
    [servers[0]!.host],
  );
});

test('a read fails after every server has sent wrong bytes once', limit, async (t) => {
  const always = () => [damagesAfterFirst()];
  const { open, servers } = await openBehind(t, [always()], { registry: always() });
  const store = await open();
  servers[1]!.behave({ faults: [fault('damages-blobs')] });
  await assert.rejects(store.ensure(0, 100, 'demand'), { name: 'StoreError', code: 'corrupt' });
  const requests = servers.reduce((sum, { counts }) => sum + counts.requests, 0);
  assert.ok(requests <= 6, `${requests} requests`);
});

test('a layer that is refused for what its own TOC says is blamed on no server', limit, async (t) => {
  const entries = [
    { name: 'a', type: 'reg' },
    { name: 'a/b', type: 'reg' },
  ];
  const { open, reports, servers } = await openBehind(t, [[]], { entries });
  await assert.rejects(open(), { code: 'name' });
  assert.deepEqual([reports.length, servers[1]!.counts.requests], [0, 0]);
});

/** The first answer is right. */
function damagesAfterFirst(): Fault {
  const damages = fault('damages-blobs');
  let answers = 0;
  return { ...damages, bend: (answer, bending) => (answers++ === 0 ? answer : damages.bend!(answer, bending)) };
}

/** Flips one byte a little before the footer, in the compressed TOC. */
const damageToc: NonNullable<Fault['bend']> = async (answer) => {
  const pieces: Buffer[] = [];
  for await (const piece of answer.body!) pieces.push(Buffer.from(piece));
  const bytes = Buffer.concat(pieces);
  const at = bytes.length - 200;
  bytes[at] = bytes[at]! ^ 0xff;
  return {
    ...answer,
    body: (async function* () {
      yield bytes;
    })(),
  };
};
