/**
 * The access record: JSON lines `{"layer":"sha256:…","path":"usr/bin/python3.11"}` in order of first read, recorded
 * while a workload runs on a lazily mounted image. Layer digests are those of the image it was recorded on, usually a
 * conversion, whose layers are in the same order as the source's.
 */
import { readFile } from 'node:fs/promises';
import { type Digest, isDigest } from '../registry/digest.ts';
import { ConvertError } from './error.ts';

export interface AccessRecord {
  readonly layer: Digest;
  /** Relative to the layer's root, `/`-separated; a leading `/` or `./` is ignored. */
  readonly path: string;
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
      const example = '{"layer":"sha256:…","path":"usr/bin/env"}';
      throw new ConvertError(
        'malformed-accesses',
        `cannot read the access record ${file}: line ${index + 1} is not ${example}; record it again`,
      );
    }
    records.push(record);
  }
  return records;
}

function parseLine(line: string): AccessRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { layer, path } = (value ?? {}) as { layer?: unknown; path?: unknown };
  if (typeof layer !== 'string' || !isDigest(layer) || typeof path !== 'string' || path === '') return undefined;
  return { layer, path };
}

export interface RecordedLayers {
  /** Layers of the image being converted. */
  readonly source: readonly Digest[];
  /** Layers of the image that the record was made on, in the same order. */
  readonly recordedOn?: readonly Digest[] | undefined;
  /** The source of a converted layer, where known. */
  readonly originOf?: (converted: Digest) => Digest | undefined;
}

/**
 * The paths read from each source layer, in order, without duplicates. Throws ConvertError `unknown-layer` if the record
 * belongs to another image: otherwise no file would be prioritised, and only a slow benchmark would show it.
 */
export function assignAccesses(records: readonly AccessRecord[], layers: RecordedLayers): string[][] {
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
  const paths = source.map(() => new Set<string>());
  for (const { layer, path } of records) {
    const index = indexOf(layer);
    if (index < 0) {
      throw new ConvertError(
        'unknown-layer',
        `cannot use the access record: layer ${layer} belongs neither to the source nor to a known conversion; ` +
          `name the image it was recorded on (--recorded-on)`,
      );
    }
    paths[index]!.add(path);
  }
  return paths.map((set) => [...set]);
}
