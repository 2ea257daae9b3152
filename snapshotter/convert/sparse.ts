/**
 * GNU sparse files in pax form (GNU tar manual, "Storing Sparse Files"): formats 0.0 and 0.1 hold the map of the data in
 * the pax header, 1.0 at the start of the payload. Read as Go's archive/tar reads them, which is what containerd unpacks.
 */
import { blockSizeBytes, malformed, parsePaxInteger, toSafeNumber } from './tar-fields.ts';

/** A run of the file's bytes that the tar holds; all between the extents is zeros. */
export interface Extent {
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly tarOffset: number;
}

export interface SparseFile {
  readonly name: string | undefined;
  readonly sizeBytes: number;
  readonly extents: readonly Extent[];
}

/** No disk of a container holds more, and compressing zeros without end would be a way to keep a converter busy. */
const maxSparseSizeBytes = 2 ** 40;

/** Go's limit for a map, header or payload. */
const maxMapSizeBytes = 1 << 20;

/**
 * What the records and the payload make of a regular file; undefined unless they are of a sparse one. `storedSizeBytes`
 * is what the tar holds of it, `sizeBytes` what the header says.
 */
export function readSparseFile(
  pax: ReadonlyMap<string, string>,
  payload: { readonly offset: number; readonly storedSizeBytes: number },
  readAt: (offset: number, length: number) => Buffer,
): SparseFile | undefined {
  const version = sparseVersion(pax);
  if (version === undefined) return undefined;
  const size = pax.get('GNU.sparse.size') || pax.get('GNU.sparse.realsize');
  const sizeBytes = size ? toSafeNumber(parsePaxInteger(size)) : payload.storedSizeBytes;
  if (sizeBytes < 0 || sizeBytes > maxSparseSizeBytes) throw malformed(`a sparse file of ${sizeBytes} bytes`);
  const { numbers, mapSizeBytes } = version === '1.0' ? readMapOfPayload(payload, readAt) : readMapOfHeader(pax);
  const extents = placeExtents(numbers, payload.offset + mapSizeBytes, sizeBytes);
  const dataSizeBytes = extents.reduce((sum, extent) => sum + extent.sizeBytes, 0);
  if (mapSizeBytes + dataSizeBytes !== payload.storedSizeBytes) {
    throw malformed('a sparse file whose map does not fit its data');
  }
  return { name: pax.get('GNU.sparse.name') || undefined, sizeBytes, extents };
}

function sparseVersion(pax: ReadonlyMap<string, string>): '0.x' | '1.0' | undefined {
  const major = pax.get('GNU.sparse.major') ?? '';
  const minor = pax.get('GNU.sparse.minor') ?? '';
  if (major === '0' && (minor === '0' || minor === '1')) return '0.x';
  if (major === '1' && minor === '0') return '1.0';
  // Writers of 0.0 and 0.1 named no version at first.
  return major === '' && minor === '' && pax.get('GNU.sparse.map') ? '0.x' : undefined;
}

interface SparseMap {
  readonly numbers: readonly number[];
  /** Bytes of the payload that are the map and not data. */
  readonly mapSizeBytes: number;
}

function readMapOfHeader(pax: ReadonlyMap<string, string>): SparseMap {
  const text = pax.get('GNU.sparse.map') ?? '';
  const numbers = text === '' ? [] : text.split(',').map(parseMapNumber);
  if (numbers.length !== 2 * parseMapNumber(pax.get('GNU.sparse.numblocks') ?? '')) {
    throw malformed('a sparse map of another length than its header says');
  }
  return { numbers, mapSizeBytes: 0 };
}

/** Decimal lines: the number of extents, then offset and size of each; padded to a block. */
function readMapOfPayload(
  { offset, storedSizeBytes }: { readonly offset: number; readonly storedSizeBytes: number },
  readAt: (offset: number, length: number) => Buffer,
): SparseMap {
  const numbers: number[] = [];
  let rest = '';
  let mapSizeBytes = 0;
  while (numbers.length === 0 || numbers.length < 1 + 2 * numbers[0]!) {
    if (mapSizeBytes === maxMapSizeBytes || mapSizeBytes + blockSizeBytes > storedSizeBytes) {
      throw malformed('a sparse map without an end');
    }
    const lines = (rest + readAt(offset + mapSizeBytes, blockSizeBytes).toString('latin1')).split('\n');
    mapSizeBytes += blockSizeBytes;
    rest = lines.pop()!;
    for (const line of lines) {
      if (numbers.length > 0 && numbers.length === 1 + 2 * numbers[0]!) break;
      numbers.push(parseMapNumber(line));
    }
  }
  return { numbers: numbers.slice(1), mapSizeBytes };
}

function placeExtents(numbers: readonly number[], dataOffset: number, sizeBytes: number): Extent[] {
  const extents: Extent[] = [];
  let tarOffset = dataOffset;
  let end = 0;
  for (let index = 0; index + 1 < numbers.length; index += 2) {
    const fileOffset = numbers[index]!;
    const length = numbers[index + 1]!;
    if (fileOffset < end || fileOffset + length > sizeBytes) throw malformed('a sparse map out of order');
    end = fileOffset + length;
    if (length > 0) extents.push({ fileOffset, sizeBytes: length, tarOffset });
    tarOffset += length;
  }
  return extents;
}

function parseMapNumber(text: string): number {
  const number = /^\+?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw malformed(`a sparse map with ${JSON.stringify(text.slice(0, 40))} in it`);
  return number;
}
