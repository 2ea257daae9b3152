import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { CompressorPool } from './compressor-pool.ts';

const limit = { timeout: 20_000 };
const options = { codec: 'gzip', level: 6, slotSizeBytes: 2 << 20, maxMembersPerBatch: 4, threads: 1 } as const;

test('slots are given out once, and a slot that comes back goes to who waits for it', limit, async (t) => {
  const pool = new CompressorPool(options);
  t.after(() => pool.close());
  const held = [pool.tryAcquire(), pool.tryAcquire(), pool.tryAcquire()];
  assert.deepEqual(held.toSorted(), [0, 1, 2]);
  assert.equal(pool.tryAcquire(), undefined);
  const waiting = pool.acquire();
  pool.release(held[1]!);
  assert.equal(await waiting, held[1]);
  assert.equal(pool.tryAcquire(), undefined);
  pool.release(held[1]!);
  assert.equal(pool.tryAcquire(), held[1]);
});

test('batches large and small come back as gzip members', limit, async (t) => {
  const pool = new CompressorPool(options);
  t.after(() => pool.close());
  for (const sizeBytes of [1000, 1_500_000, 1000]) {
    const slot = await pool.acquire();
    const content = Buffer.alloc(sizeBytes, `${sizeBytes} `);
    content.copy(pool.rawBuffer(slot));
    const { bytes, sizes, digests } = await pool.compress({ slot, memberSizes: [sizeBytes], chunks: [[0, sizeBytes]] });
    assert.equal(sizes[0], bytes.length);
    assert.equal(digests.length, 1);
    assert.ok(gunzipSync(bytes).equals(content));
    pool.release(slot);
  }
});

test('a closed pool refuses what it has not done', limit, async () => {
  const pool = new CompressorPool(options);
  const slot = await pool.acquire();
  const compressing = pool.compress({ slot, memberSizes: [1 << 20], chunks: [] });
  const refused = assert.rejects(compressing, /pool is closed/);
  await pool.close();
  await refused;
});
