/** The lists of hot ranges of an image's layers (estargz/hot-ranges.ts), from its access record and the TOCs of the conversion. */
import {
  encodeHotRanges,
  type HotRange,
  hotUnitBytes,
  maxHotRangesLength,
  rankUnitBytes,
} from '../estargz/hot-ranges.ts';
import type { PlacedAccess } from './accesses.ts';
import { readBlobToc, type TocLine } from './blob-tree.ts';
import { recordedName } from './order.ts';
import { normaliseName } from '../tar/tar.ts';

export interface ConvertedBlob {
  readonly path: string;
  readonly tocDigest: string;
}

/** One value per layer for HOT_RANGES_LABEL; undefined where nothing was read. */
export function listHotRanges(order: readonly PlacedAccess[], blobs: readonly ConvertedBlob[]): (string | undefined)[] {
  const read = new Set(order.map(({ layer }) => layer));
  const tocs = blobs.map(({ path, tocDigest }, layer) =>
    read.has(layer) ? { ...readBlobToc(path), tocDigest } : undefined,
  );
  return listMembers(order, tocs, maxHotRangesLength);
}

export interface LayerToc {
  readonly tocDigest: string;
  readonly entries: readonly TocLine[];
  readonly payloadEnd: number;
}

/** One list per layer, of at most `maxLength` characters; undefined where nothing was read, or of which there is no TOC. */
export function listMembers(
  order: readonly PlacedAccess[],
  tocs: readonly (LayerToc | undefined)[],
  maxLength: number,
): (string | undefined)[] {
  const layers = tocs.map((toc) => (toc === undefined ? undefined : indexLayer(toc)));
  const members: HotMember[][] = tocs.map(() => []);
  let usedBytes = 0;
  for (const { layer, path, range } of order) {
    for (const { offset, endOffset } of layers[layer]?.take(path, range?.start ?? 0, range?.end ?? Infinity) ?? []) {
      members[layer]!.push({ offset, endOffset, usedBytes });
      usedBytes += endOffset - offset;
    }
  }
  return members.map((some, layer) =>
    some.length === 0 ? undefined : encodeToFit(some, tocs[layer]!.tocDigest, maxLength),
  );
}

interface HotMember {
  readonly offset: number;
  readonly endOffset: number;
  /** Of all layers, before this member. */
  readonly usedBytes: number;
}

interface LayerIndex {
  /** The members that hold these bytes of the file and were not taken before. */
  take(path: string, start: number, end: number): { readonly offset: number; readonly endOffset: number }[];
}

function indexLayer({ entries, payloadEnd }: LayerToc): LayerIndex {
  const links = new Map<string, string>();
  const files = new Map<string, TocLine[]>();
  for (const line of entries) {
    const name = normaliseName(line.name);
    if (line.type === 'hardlink') links.set(name, normaliseName(line.linkName ?? ''));
    if (line.type === 'reg') files.set(name, [line]);
    if (line.type === 'chunk') files.get(name)?.push(line);
  }
  const offsets = [...new Set(entries.flatMap(({ offset = 0 }) => (offset > 0 ? [offset] : [])))].sort((a, b) => a - b);
  const endOf = new Map(offsets.map((offset, index) => [offset, offsets[index + 1] ?? payloadEnd]));
  const taken = new Set<number>();
  return {
    take(path, start, end) {
      const name = recordedName(path);
      const chunks = files.get(links.get(name) ?? name) ?? [];
      const wanted = chunks.filter(({ offset = 0, chunkOffset = 0 }, index) => {
        const chunkEnd = chunks[index + 1]?.chunkOffset ?? Infinity;
        return offset > 0 && chunkOffset < end && chunkEnd > start && !taken.has(offset);
      });
      return wanted.map(({ offset = 0 }) => {
        taken.add(offset);
        return { offset, endOffset: endOf.get(offset)! };
      });
    },
  };
}

/** Members that follow each other in the blob are one range, unless one is used this much later than its place says. */
const rankSlackUnits = 4;

interface BlobRange extends HotRange {
  /** Bytes [offset, endOffset) of the blob. */
  readonly offset: number;
  readonly endOffset: number;
}

function encodeToFit(members: readonly HotMember[], tocDigest: string, maxLength: number): string {
  let ranges = joinMembers(members);
  for (;;) {
    const text = encodeHotRanges(ranges, tocDigest);
    const excess = 1 - maxLength / text.length;
    if (excess <= 0) return text;
    ranges = joinNeighbours(ranges, Math.ceil(excess * ranges.length));
  }
}

function joinMembers(members: readonly HotMember[]): BlobRange[] {
  const ranges: BlobRange[] = [];
  const covered = new Set<number>();
  for (const { offset, endOffset, usedBytes } of members) {
    const start = Math.floor(offset / hotUnitBytes);
    if (covered.has(start)) continue;
    covered.add(start);
    const rank = Math.floor(usedBytes / rankUnitBytes);
    const last = ranges.at(-1);
    const isNext = last?.endOffset === offset;
    if (isNext && rank - last.rank - (offset - last.offset) / rankUnitBytes <= rankSlackUnits)
      ranges[ranges.length - 1] = { ...last, end: start + 1, endOffset };
    else ranges.push({ start, end: start + 1, rank, offset, endOffset });
  }
  return ranges;
}

/** Joins `count` pairs of neighbours in the blob, those with the smallest gaps. */
function joinNeighbours(ranges: readonly BlobRange[], count: number): BlobRange[] {
  const sorted = ranges.toSorted((a, b) => a.offset - b.offset);
  const gapBefore = (index: number): number => sorted[index]!.offset - sorted[index - 1]!.endOffset;
  const gaps = sorted.map((_, index) => index).slice(1);
  const joined = new Set(gaps.sort((a, b) => gapBefore(a) - gapBefore(b)).slice(0, count));
  const result: BlobRange[] = [];
  for (const [index, range] of sorted.entries()) {
    const last = result.at(-1);
    if (last === undefined || !joined.has(index)) result.push(range);
    else {
      const { end, endOffset } = range;
      result[result.length - 1] = { ...last, end, endOffset, rank: Math.min(last.rank, range.rank) };
    }
  }
  return result.sort((a, b) => a.rank - b.rank);
}
