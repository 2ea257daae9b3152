import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from 'tinybench';
import { createDiskReserve } from './disk-reserve.ts';
import { indexMembers } from './member-index.ts';
import { storeMember } from './member-reader.ts';
import { allocatePresence, isRangePresent, markPresent } from './presence.ts';
import { buildTestBlob, pseudoRandomBytes } from './testing/blob.ts';
import { buildTestTable, layoutOf } from './testing/table.ts';

/** What a read costs beyond the network: the look-up of one that is there, inflating, verifying and storing one that is not. */
export function register(bench: Bench): void {
  const hitTable = buildTestTable(
    Array.from({ length: 50_000 }, (_, at) => ({
      members: [{ offset: at * 100, end: at * 100 + 100, sizeBytes: 8192 }],
    })),
  );
  const hitBits = new Int32Array(allocatePresence(hitTable.chunkCount));
  for (let chunk = 0; chunk < hitTable.chunkCount; chunk++) markPresent(hitBits, chunk);
  let at = 0;
  bench.add('store: presence of a 4 KiB read among 50,000 chunks', () => {
    at = (at + 7919) % 50_000;
    isRangePresent(hitTable, hitBits, at * 8192, 4096);
  });
  for (const sizeBytes of [8 * 1024, 128 * 1024, 1024 * 1024]) addStore(bench, sizeBytes);
}

function addStore(bench: Bench, sizeBytes: number): void {
  const blob = buildTestBlob([{ name: 'file', content: pseudoRandomBytes(sizeBytes, 1) }]);
  const table = buildTestTable(layoutOf(blob.members));
  const index = indexMembers(table, 'bench');
  const bits = new Int32Array(allocatePresence(table.chunkCount));
  const { offset, end } = blob.members[0]!;
  const compressed = blob.bytes.subarray(offset, end);
  const reserve = createDiskReserve(tmpdir());
  let directory = '';
  let dataFd = -1;
  bench.add(
    `store: inflate, verify and store a member of ${sizeBytes / 1024} KiB`,
    () =>
      storeMember(
        {
          subject: 'bench',
          table,
          index,
          bits,
          dataFd,
          reserve,
          compression: 'gzip',
          chunkOverwritten: () => {},
          chunkStored: () => {},
        },
        0,
        compressed,
      ),
    {
      beforeAll() {
        directory = mkdtempSync(join(tmpdir(), 'store-bench-'));
        dataFd = openSync(join(directory, 'data'), 'w');
      },
      afterAll() {
        closeSync(dataFd);
        rmSync(directory, { recursive: true });
      },
    },
  );
}
