/**
 * Where files that were read in part are cut, so that what was read can be fetched alone: at the edges of the runs that were
 * read. A cut costs a member's header, the window of the compressor and a TOC entry, so gaps below a width are not cut out;
 * the width is the smallest with which the layer grows little enough.
 */
import type { ByteRange } from './accesses.ts';
import type { CanonicalEntry } from './canonical-entries.ts';
import { recordedName } from './order.ts';
import type { TarEntry } from '../tar/tar.ts';

export type FileCuts = ReadonlyMap<TarEntry, readonly number[]>;

/** Of a cut, measured on shared libraries and class files. */
const cutCostBytes = 1200;
/** Compressed bytes per byte of content, at the least. */
const compressedShare = 0.3;
const growthShare = 0.015;
/** From the readahead with which accesses are recorded (recordedReadaheadKib): where it falls differs from run to run. */
const gapLimits = { min: 64 << 10, max: 64 << 20 };
/** Cuts are at pages, the unit of reads. */
const pageBytes = 4096;

export function cutFiles(
  entries: readonly CanonicalEntry[],
  readRanges: ReadonlyMap<string, readonly ByteRange[]>,
): FileCuts {
  if (readRanges.size === 0) return new Map();
  const runs = readRuns(entries, readRanges);
  const contentBytes = entries.reduce((sum, { entry }) => sum + entry.sizeBytes, 0);
  const budget = (contentBytes * compressedShare * growthShare) / cutCostBytes;
  for (let gapBytes = gapLimits.min; gapBytes <= gapLimits.max; gapBytes *= 1.5) {
    const cuts = new Map<TarEntry, readonly number[]>();
    let count = 0;
    for (const [entry, ranges] of runs) {
      const offsets = cutsOf(ranges, entry.sizeBytes, gapBytes);
      if (offsets.length > 0) cuts.set(entry, offsets);
      count += offsets.length;
    }
    if (count <= budget) return cuts;
  }
  return new Map();
}

/** By file; a hard link's are its target's. */
function readRuns(
  entries: readonly CanonicalEntry[],
  readRanges: ReadonlyMap<string, readonly ByteRange[]>,
): Map<TarEntry, readonly ByteRange[]> {
  const byName = new Map(entries.map(({ entry }) => [entry.name, entry]));
  const runs = new Map<TarEntry, readonly ByteRange[]>();
  for (const [path, ranges] of readRanges) {
    const named = byName.get(recordedName(path));
    const entry = named?.type === 'hardlink' ? byName.get(named.linkName) : named;
    if (entry?.type === 'reg') runs.set(entry, [...(runs.get(entry) ?? []), ...ranges]);
  }
  for (const [entry, ranges] of runs)
    runs.set(
      entry,
      [...ranges].sort((a, b) => a.start - b.start),
    );
  return runs;
}

/** `ranges` by start. What was not read at the ends of the file is a gap, too. */
function cutsOf(ranges: readonly ByteRange[], sizeBytes: number, gapBytes: number): number[] {
  const cuts: number[] = [];
  let end = 0;
  for (const range of [...ranges, { start: sizeBytes, end: sizeBytes }]) {
    const start = Math.floor(Math.min(range.start, sizeBytes) / pageBytes) * pageBytes;
    if (start - end >= gapBytes) {
      if (end > 0) cuts.push(end);
      if (range.start < sizeBytes) cuts.push(start);
    }
    end = Math.max(end, Math.ceil(range.end / pageBytes) * pageBytes);
  }
  return cuts;
}
