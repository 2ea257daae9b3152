/**
 * The access record: JSON lines `{"layer":"sha256:…","path":"usr/bin/python3.11","offset":0,"size":65536}` in order of first
 * read, recorded while a workload runs on a lazily mounted image. `offset` and `size` are bytes of the file; without them the
 * line means the whole file. Layer digests are those of the image it was recorded on, usually a
 * conversion, whose layers are in the same order as the source's.
 */
import { readFile } from 'node:fs/promises';
import { type Digest, isDigest } from '../registry/digest.ts';
import { ConvertError } from './error.ts';

export interface AccessRecord {
  readonly layer: Digest;
  /** Relative to the layer's root, `/`-separated; a leading `/` or `./` is ignored. */
  readonly path: string;
  /** What was read; undefined for the whole file. */
  readonly range?: ByteRange;
}

/** Bytes [start, end) of a file. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Throws ConvertError `malformed-accesses` naming file and line; read errors are thrown as they are. */
export async function readAccesses(path: string): Promise<AccessRecord[]> {
  return parseAccesses(await readFile(path, 'utf8'), path);
}

export function parseAccesses(text: string, file: string): AccessRecord[] {
  const records: AccessRecord[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const record = parseLine(line);
    if (record === undefined) {
      const example = '{"layer":"sha256:…","path":"usr/bin/env","offset":0,"size":4096}';
      throw new ConvertError(
        'malformed-accesses',
        `cannot read the access record ${file}: line ${index + 1} is not ${example}; record it again`,
      );
    }
    records.push(record);
  }
  return records;
}

/** What `parseAccesses` reads. */
export function formatAccesses(records: readonly AccessRecord[]): string {
  return records
    .map(({ layer, path, range }) => {
      const bytes = range === undefined ? {} : { offset: range.start, size: range.end - range.start };
      return `${JSON.stringify({ layer, path, ...bytes })}\n`;
    })
    .join('');
}

function parseLine(line: string): AccessRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { layer, path, offset, size } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof layer !== 'string' || !isDigest(layer) || typeof path !== 'string' || path === '') return undefined;
  if (offset === undefined && size === undefined) return { layer, path };
  if (!isCount(offset) || !isCount(size) || size === 0 || !isCount(offset + size)) return undefined;
  return { layer, path, range: { start: offset, end: offset + size } };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export interface RecordedLayers {
  /** Layers of the image being converted. */
  readonly source: readonly Digest[];
  /** Layers of the image that the record was made on, in the same order. */
  readonly recordedOn?: readonly Digest[] | undefined;
  /** The source of a converted layer, where known. */
  readonly originOf?: (converted: Digest) => Digest | undefined;
}

export interface LayerAccesses {
  /** In order of first read, without duplicates. */
  readonly paths: readonly string[];
  /** What was read of the files that were perhaps not read whole, in order. Absent means the whole file. */
  readonly ranges: ReadonlyMap<string, readonly ByteRange[]>;
}

export interface ImageAccesses {
  readonly layers: readonly LayerAccesses[];
  /** All accesses in order of first read; `layer` is an index. */
  readonly order: readonly PlacedAccess[];
}

export interface PlacedAccess {
  readonly layer: number;
  readonly path: string;
  readonly range?: ByteRange | undefined;
}

export const noAccesses: LayerAccesses = { paths: [], ranges: new Map() };

/**
 * What was read from each source layer. Throws ConvertError `unknown-layer` if the record
 * belongs to another image: otherwise no file would be prioritised, and only a slow benchmark would show it.
 */
export function assignAccesses(records: readonly AccessRecord[], layers: RecordedLayers): ImageAccesses {
  const { source, recordedOn, originOf } = layers;
  if (recordedOn !== undefined && recordedOn.length !== source.length) {
    throw new ConvertError(
      'unknown-layer',
      `cannot use the access record: it was made on an image of ${recordedOn.length} layers, the source has ` +
        `${source.length}; record it on a conversion of this source`,
    );
  }
  const indexes = new Map<Digest, number>();
  const indexOf = (layer: Digest): number => {
    const known = indexes.get(layer);
    if (known !== undefined) return known;
    let index = source.indexOf(layer);
    if (index < 0 && recordedOn !== undefined) index = recordedOn.indexOf(layer);
    const origin = index < 0 ? originOf?.(layer) : undefined;
    if (origin !== undefined) index = source.indexOf(origin);
    indexes.set(layer, index);
    return index;
  };
  const files = source.map(() => new Map<string, ByteRange[] | undefined>());
  const order: PlacedAccess[] = [];
  for (const { layer, path, range } of records) {
    const index = indexOf(layer);
    if (index < 0) {
      throw new ConvertError(
        'unknown-layer',
        `cannot use the access record: layer ${layer} belongs neither to the source nor to a known conversion; ` +
          `name the image it was recorded on (--recorded-on)`,
      );
    }
    order.push({ layer: index, path, range });
    const known = files[index]!.get(path);
    if (range === undefined) files[index]!.set(path, undefined);
    else if (known !== undefined) known.push(range);
    else if (!files[index]!.has(path)) files[index]!.set(path, [range]);
  }
  return { layers: files.map(accessesOf), order };
}

function accessesOf(files: ReadonlyMap<string, readonly ByteRange[] | undefined>): LayerAccesses {
  const ranges = [...files].flatMap(([path, some]) => (some === undefined ? [] : [[path, some] as const]));
  return { paths: [...files.keys()], ranges: new Map(ranges) };
}
