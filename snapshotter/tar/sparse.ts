/**
 * GNU sparse files in pax form (GNU tar manual, "Storing Sparse Files"): formats 0.0 and 0.1 hold the map of the data in
 * the pax header, 1.0 at the start of the payload. Read as Go's archive/tar reads them, which is what containerd unpacks.
 */
import { blockSizeBytes, malformed, parsePaxInteger, toSafeNumber } from './tar-fields.ts';

/** A run of the file's bytes that the tar holds; the gaps between extents are zeros. */
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

/** Far beyond any real layer; stops a tiny tar from keeping the converter busy with zeros. */
const maxSparseSizeBytes = 2 ** 40;

/** Go's limit for a map, in the header or in the payload. */
const maxMapSizeBytes = 1 << 20;

/**
 * Reads the map of a sparse file from its pax records and payload; undefined if the file is not sparse. `storedSizeBytes`
 * is the size of the payload in the tar, `sizeBytes` that of the expanded file.
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
    throw malformed('a sparse file whose map does not match its data');
  }
  return { name: pax.get('GNU.sparse.name') || undefined, sizeBytes, extents };
}

function sparseVersion(pax: ReadonlyMap<string, string>): '0.x' | '1.0' | undefined {
  const major = pax.get('GNU.sparse.major') ?? '';
  const minor = pax.get('GNU.sparse.minor') ?? '';
  if (major === '0' && (minor === '0' || minor === '1')) return '0.x';
  if (major === '1' && minor === '0') return '1.0';
  // Early writers of 0.0 and 0.1 recorded no version.
  return major === '' && minor === '' && pax.get('GNU.sparse.map') ? '0.x' : undefined;
}

interface SparseMap {
  readonly numbers: readonly number[];
  /** Size of the map at the start of the payload; 0 if it is in the header. */
  readonly mapSizeBytes: number;
}

function readMapOfHeader(pax: ReadonlyMap<string, string>): SparseMap {
  const text = pax.get('GNU.sparse.map') ?? '';
  const numbers = text === '' ? [] : text.split(',').map(parseMapNumber);
  if (numbers.length !== 2 * parseMapNumber(pax.get('GNU.sparse.numblocks') ?? '')) {
    throw malformed('a sparse map whose length differs from its header');
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
      throw malformed('a sparse map that is cut short or longer than 1 MiB');
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
  if (!Number.isSafeInteger(number)) throw malformed(`a sparse map contains ${JSON.stringify(text.slice(0, 40))}`);
  return number;
}
