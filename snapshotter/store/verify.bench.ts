import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from 'tinybench';
import { digestOf, digestHex } from '../registry/digest.ts';
import { pseudoRandomBytes } from './testing/blob.ts';
import { buildTestTable } from './testing/table.ts';
import { createUnverifiedChunks } from './unverified-chunks.ts';

/** What a restart costs: 64 MiB that an earlier daemon stored are read from the page cache and verified. */
export function register(bench: Bench): void {
  for (const sizeBytes of [4 * 1024, 64 * 1024, 4 * 1024 * 1024]) {
    const count = (64 * 1024 * 1024) / sizeBytes;
    const content = pseudoRandomBytes(sizeBytes, 1);
    const digest = Buffer.from(digestHex(digestOf(content)), 'hex');
    const table = buildTestTable(
      Array.from({ length: count }, (_, at) => ({ members: [{ offset: at * 10, end: at * 10 + 10, sizeBytes }] })),
    );
    let directory = '';
    let dataFd = -1;
    bench.add(
      `store: verify 64 MiB on disk in chunks of ${sizeBytes / 1024} KiB`,
      async () => {
        let settled = 0;
        const unverified = createUnverifiedChunks({
          table,
          words: new Int32Array(Math.ceil(count / 32)).fill(-1),
          dataFd,
          digestOf: () => digest,
          verified: () => settled++,
          damaged: () => {},
        });
        await unverified.verify(0, count);
        if (settled !== count) throw new Error(`${settled} of ${count} chunks verified`);
      },
      {
        beforeAll() {
          directory = mkdtempSync(join(tmpdir(), 'verify-bench-'));
          dataFd = openSync(join(directory, 'data'), 'w+');
          for (let chunk = 0; chunk < count; chunk++)
            writeSync(dataFd, content, 0, sizeBytes, table.chunkDataOffset[chunk]!);
        },
        afterAll() {
          closeSync(dataFd);
          rmSync(directory, { recursive: true });
        },
      },
    );
  }
}
