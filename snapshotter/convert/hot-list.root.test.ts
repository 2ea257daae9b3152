import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { maxHotRangesLength, parseHotRanges } from '../estargz/hot-ranges.ts';
import { HOT_RANGES_LABEL } from '../estargz/names.ts';
import { digestOf } from '../registry/digest.ts';
import type { ByteRange, PlacedAccess } from './accesses.ts';
import { listHotRanges } from './hot-list.ts';
import { type ConvertedLayer, convertLayer } from './layer.ts';
import { pieces } from './testing/image.ts';
import { openLazyBlob } from './testing/lazy-blob.ts';
import { rawTar } from './testing/raw-tar.ts';

const limit = { timeout: 60_000 };
const workDir = mkdtempSync(join(tmpdir(), 'hot-list-'));
after(() => rmSync(workDir, { recursive: true, force: true }));
const mib = 1 << 20;
const big = pseudoRandomBytes(40 * mib, 1);

function convert(tar: Buffer, prioritized: readonly string[], ranges: Record<string, readonly ByteRange[]>) {
  const readRanges = new Map(Object.entries(ranges));
  return convertLayer(() => pieces(tar), { format: 'estargz', prioritized, readRanges, workDir });
}

/** Chunks of the layer that begin in its hot ranges, by rank: name and offset in the file. */
function hotChunks(layer: ConvertedLayer, text: string) {
  const { entries } = openLazyBlob(layer.path);
  const ranges = parseHotRanges(text, { tocDigest: layer.tocDigest, payloadEnd: layer.sizeBytes });
  return ranges.flatMap(({ start, end, rank }) =>
    entries
      .filter(({ offset = 0 }) => offset > 0 && Math.floor(offset / 512) >= start && Math.floor(offset / 512) < end)
      .map(({ name, chunkOffset = 0 }) => ({ rank, chunk: `${name}@${chunkOffset / mib}` })),
  );
}

test('the list has the chunks that were read, in the order of use over all layers', limit, async () => {
  const lower = rawTar({ name: 'big', content: big }, { name: 'link', type: '1', linkName: 'big' });
  const upper = rawTar({ name: 'a', content: big.subarray(0, 3 * mib) }, { name: 'b', content: 'b' });
  const early = { start: 30 * mib, end: 31 * mib };
  const late = { start: 10 * mib, end: 10 * mib + 1 };
  const layers = [
    await convert(lower, ['link'], { link: [early, late] }),
    await convert(upper, ['a'], {}),
    await convert(rawTar({ name: 'unread', content: 'x' }), [], {}),
  ];
  const order: PlacedAccess[] = [
    { layer: 0, path: 'link', range: early },
    { layer: 1, path: 'a' },
    { layer: 0, path: 'link', range: late },
    { layer: 0, path: 'gone', range: late },
    { layer: 0, path: 'link', range: { start: early.start, end: early.start + 1 } },
  ];
  const lists = listHotRanges(order, layers);
  assert.equal(lists[2], undefined);
  const first = hotChunks(layers[0]!, lists[0]!);
  assert.deepEqual(
    first.map(({ chunk }) => chunk),
    ['big@30', 'big@10'],
  );
  const [second] = hotChunks(layers[1]!, lists[1]!);
  assert.equal(second!.chunk, 'a@0');
  assert.ok(first[0]!.rank === 0 && second!.rank > 0 && first[1]!.rank > second!.rank);
  assert.equal(digestOf(gunzipSync(readFileSync(layers[0]!.path))), layers[0]!.diffId);
  assert.deepEqual(openLazyBlob(layers[0]!.path).read('big'), big);
});

test('a list that is too long for a label loses its smallest gaps, and none of its chunks', limit, async () => {
  const files = Array.from({ length: 6000 }, (_, at) => ({
    name: `f${String(at).padStart(4, '0')}`,
    content: big.subarray(at * 1000, at * 1000 + 900),
  }));
  const layer = await convert(rawTar(...files), [], {});
  const order = files.filter((_, at) => at % 2 === 0).map(({ name }) => ({ layer: 0, path: name }));
  const [text] = listHotRanges(order, [layer]);
  assert.ok(text!.length <= maxHotRangesLength && text!.length > 0.7 * maxHotRangesLength, `${text!.length}`);
  assert.ok(HOT_RANGES_LABEL.length + text!.length <= 4096);
  const hot = new Set(hotChunks(layer, text!).map(({ chunk }) => chunk));
  assert.ok(order.every(({ path }) => hot.has(`${path}@0`)));
});
