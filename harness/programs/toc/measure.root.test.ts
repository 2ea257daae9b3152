import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountNames } from '../../cli/options.ts';
import { makeToc, mountLarge } from './measure.ts';

test('a layer of many entries is mounted in a process of its own, which says what that took', {
  timeout: 120_000,
}, async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'large-toc-'));
  t.after(() => rm(scratch, { recursive: true, force: true }));
  const toc = join(scratch, 'toc');
  await makeToc(20_000, toc, t.signal);
  for (const face of mountNames) {
    await t.test(face, { timeout: 60_000 }, async () => {
      const mounted = await mountLarge(face, toc, scratch, t.signal);
      assert.deepEqual(mounted.names, ['usr']);
      assert.ok(mounted.entries > 20_000);
      assert.ok(mounted.mountMs > 0 && mounted.peakGrowthBytes > 0, JSON.stringify(mounted));
    });
  }
});
