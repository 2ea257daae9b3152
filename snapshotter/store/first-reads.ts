import type { InodeTable } from '../tree/inode-table.ts';
import { firstChunkFrom } from './presence.ts';

/** The unit of an access record. Files begin at multiples of it in the data file. */
const pageBytes = 4096;

/** One bit per page of the data file: set once a read of it was reported. */
export function allocateFirstReads(dataSizeBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(Math.ceil(dataSizeBytes / pageBytes / 32) * 4);
}

/** Reports the runs of pages in [dataOffset, dataOffset + sizeBytes) that were not reported before, clipped to the range. */
export function noteFirstReads(
  seen: Int32Array,
  dataOffset: number,
  sizeBytes: number,
  report: (dataOffset: number, sizeBytes: number) => void,
): void {
  const end = Math.min(dataOffset + sizeBytes, seen.length * 32 * pageBytes);
  const endPage = Math.ceil(end / pageBytes);
  let begin = -1;
  for (let page = Math.floor(dataOffset / pageBytes); page <= endPage; page++) {
    const isNew = page < endPage && isFirst(seen, page);
    if (isNew && begin < 0) begin = Math.max(page * pageBytes, dataOffset);
    if (isNew || begin < 0) continue;
    report(begin, Math.min(page * pageBytes, end) - begin);
    begin = -1;
  }
}

/** Several threads may answer reads of one layer. */
function isFirst(seen: Int32Array, page: number): boolean {
  const bit = 1 << (page & 31);
  return (Atomics.or(seen, page >>> 5, bit) & bit) === 0;
}

export interface FileRange {
  readonly inode: number;
  /** In the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** What bytes of the data file are in terms of files: one read of the data file may cover several. */
export function* fileRangesOf(table: InodeTable, dataOffset: number, sizeBytes: number): Generator<FileRange> {
  const end = dataOffset + sizeBytes;
  let previous = -1;
  for (
    let chunk = firstChunkFrom(table, dataOffset);
    chunk < table.chunkCount && table.chunkDataOffset[chunk]! < end;
    chunk++
  ) {
    const inode = table.chunkInode[chunk]!;
    if (inode === previous) continue;
    previous = inode;
    const fileStart = table.dataOffset[inode]!;
    const from = Math.max(dataOffset, fileStart);
    const to = Math.min(end, fileStart + table.sizeBytes[inode]!);
    if (to > from) yield { inode, offset: from - fileStart, sizeBytes: to - from };
  }
}
