import assert from 'node:assert/strict';
import { readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { BlobSource } from '../registry/blob.ts';
import { singlePolicy } from './fetch-window.ts';
import { LayerStore } from './layer-store.ts';
import { noFetchMetrics } from './metrics.ts';
import { InflatePool } from './inflate-pool.ts';
import { FetchScheduler } from './scheduler.ts';
import { buildTestBlob, pseudoRandomBytes, type TestBlob, type TestFile } from './testing/blob.ts';
import { buildTestTable, layoutOf } from './testing/table.ts';

const limit = { timeout: 20_000 };
const signal = new AbortController().signal;

/** A transfer that a test feeds by hand. */
interface Transfer {
  readonly start: number;
  readonly end: number;
  /** Bytes of `from` at the transfer's position; resolves once they have been taken and more is asked for. */
  send(from: Buffer, sizeBytes: number): Promise<void>;
}

interface HandFedSource extends BlobSource {
  readonly transfers: Transfer[];
}

function handFedSource({ digest }: TestBlob): HandFedSource {
  const transfers: Transfer[] = [];
  return {
    digest,
    transfers,
    fetchSuffix: () => Promise.reject(new Error('not asked for here')),
    distrust: () => false,
    async *fetchRange(start, end, abort) {
      let position = start;
      let give: (bytes: Buffer) => void = () => {};
      let given = new Promise<Buffer>((resolve) => (give = resolve));
      let taken: () => void = () => {};
      transfers.push({
        start,
        end,
        send: (from, sizeBytes) =>
          new Promise((resolve) => {
            taken = resolve;
            give(from.subarray(position, Math.min(position + sizeBytes, end)));
          }),
      });
      const aborted = new Promise<never>((_, reject) =>
        abort.addEventListener('abort', () => reject(abort.reason), { once: true }),
      );
      while (position < end) {
        const bytes = await Promise.race([given, aborted]);
        given = new Promise((resolve) => (give = resolve));
        position += bytes.length;
        try {
          yield Buffer.from(bytes);
        } finally {
          taken();
        }
      }
    },
  };
}

async function openStore(t: TestContext, blob: TestBlob, hasDigests: boolean) {
  const root = await mkdtemp(join(tmpdir(), 'takeover-'));
  const scheduler = new FetchScheduler({ quietMs: 0 });
  const inflaters = new InflatePool();
  const source = handFedSource(blob);
  const tree = {
    table: buildTestTable(layoutOf(blob.members), hasDigests),
    landmark: undefined,
    unverifiableChunkCount: 0,
    hasMarks: false,
    implied: new Uint32Array(),
    replaced: [],
  };
  const { digest, footer, tocDigest } = blob;
  const store = await LayerStore.create(
    root,
    {
      digest,
      reference: 'registry.test/image:1',
      blobSizeBytes: blob.bytes.length,
      footer,
      tocDigest,
      toc: blob.bytes.subarray(footer.tocOffset, footer.tocEnd),
      tree,
    },
    { source, scheduler, inflaters, link: scheduler.link('test'), policy: singlePolicy, metrics: noFetchMetrics },
  );
  t.after(async () => {
    await store.close();
    scheduler.close();
    await inflaters.close();
    await rm(root, { recursive: true, force: true });
  });
  return { store, source };
}

/** More than two link windows: a reader of what lies behind does not wait. All three fit into one prefetch request. */
const before: TestFile = { name: 'before', content: pseudoRandomBytes(700_000, 3) };
const file: TestFile = { name: 'large', content: pseudoRandomBytes(400_000, 1) };
const after: TestFile = { name: 'after', content: pseudoRandomBytes(100_000, 4) };
/** Of the large file in the data file. */
const dataOffset = Math.ceil(before.content.length / 4096) * 4096;

function contentOf(store: LayerStore): Buffer {
  const bytes = Buffer.alloc(file.content.length);
  readSync(store.dataFd, bytes, 0, bytes.length, dataOffset);
  return bytes;
}

test('bytes that an overtaken transfer still brings do not reach content that another verifies', limit, async (t) => {
  const blob = buildTestBlob([before, file, after]);
  const forged = buildTestBlob([before, file, after], { damage: ({ name }) => name === 'large' });
  const { store, source } = await openStore(t, blob, true);
  const prefetched = store.prefetch(blob.footer.tocOffset).catch(() => {});
  const read = store.ensure(dataOffset, file.content.length, 'demand', signal);
  const [slow, fast] = source.transfers as [Transfer, Transfer];
  await fast.send(blob.bytes, 100_000);
  await slow.send(forged.bytes, blob.members[1]!.offset + 50_000);
  await fast.send(blob.bytes, 10_000_000);
  await slow.send(forged.bytes, 10_000_000);
  await Promise.all([read, prefetched]);
  assert.ok(contentOf(store).equals(file.content), 'forged bytes are taken for verified ones');
});

test('a chunk without a digest that two transfers bring counts once', limit, async (t) => {
  const blob = buildTestBlob([before, file, after, { name: 'other', content: pseudoRandomBytes(50_000, 2) }], {
    withoutDigests: true,
  });
  const { store, source } = await openStore(t, blob, false);
  let completed = false;
  store.onComplete(() => (completed = true));
  const prefetched = store.prefetch(blob.members[3]!.offset);
  const read = store.ensure(dataOffset, file.content.length, 'demand', signal);
  const [slow, fast] = source.transfers as [Transfer, Transfer];
  // All of the content, but not yet the checksum behind it.
  await slow.send(blob.bytes, blob.members[1]!.end - 4);
  await fast.send(blob.bytes, 10_000_000);
  await slow.send(blob.bytes, 10_000_000);
  await Promise.all([read, prefetched]);
  assert.ok(contentOf(store).equals(file.content));
  assert.deepEqual([store.presentChunks(), store.complete, completed], [3, false, false]);
});
