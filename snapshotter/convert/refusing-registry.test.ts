/** Registries that reject optional requests: HEAD before a push, mounts across repositories, tokens for pull only. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Fault, fault } from '../../testkit/registry-simulator/faults.ts';
import type { MemoryOrigin } from '../../testkit/registry-simulator/memory-origin.ts';
import { digestOf } from '../registry/digest.ts';
import type { Credential } from '../registry/keychain.ts';
import { parseReference } from '../registry/reference.ts';
import { fixedKeychain } from '../registry/testing/fixture.ts';
import { openClient, startSimulator } from '../registry/testing/simulated.ts';
import { convertImage } from './image.ts';
import { pushDockerImage } from './testing/image.ts';
import { rawTar } from './testing/raw-tar.ts';

const alice: Credential = { kind: 'basic', username: 'alice', password: 'secret' };

const refusals: Readonly<Record<string, readonly Fault[]>> = {
  'HEAD with 400': [fault('look-400')],
  'HEAD with 403': [fault('look-403')],
  'HEAD with 405': [fault('look-405')],
  'HEAD with 401 and no challenge': [fault('look-401-bare')],
  // The simulator's blobs are in every repository: a look that is answered leaves nothing to mount.
  'HEAD with 403 and mounts with 405': [fault('look-403'), fault('mount-405')],
  'HEAD and mounts': [fault('look-403'), fault('mount-403')],
  'a token for pull only': [fault('token-not-for-pull-alone')],
};

for (const [what, faults] of Object.entries(refusals)) {
  test(`a registry that refuses ${what} receives the converted image`, { timeout: 60_000 }, async (t) => {
    const cacheDir = mkdtempSync(join(tmpdir(), 'convert-refused-'));
    t.after(() => rmSync(cacheDir, { recursive: true, force: true }));
    const simulator = await startSimulator(t, {
      auth: { kind: 'token', users: { alice: 'secret' }, lifetimeMs: 60_000 },
      faults,
    });
    const client = openClient(t, { keychains: [fixedKeychain(alice)] });
    const source = parseReference(`${simulator.host}/team/source:1`);
    await pushDockerImage(client, source, [rawTar({ name: 'a', content: 'a' }), rawTar({ name: 'b', content: 'b' })]);
    const signal = AbortSignal.timeout(50_000);
    const options = { format: 'estargz', cacheDir, signal } as const;
    for (const name of ['team/target', 'team/other']) {
      const target = parseReference(`${simulator.host}/${name}:1`);
      const image = await convertImage(client, source, target, options);
      const { manifests, blobs } = simulator.origin as MemoryOrigin;
      assert.equal(digestOf(manifests.get(`${name}:1`)!.bytes), image.digest);
      for (const { digest } of image.layers) assert.ok(blobs.has(digest));
    }
    for (const { name, avoidable } of faults)
      assert.ok(avoidable === true || simulator.effective.has(name), `${name} was never met`);
  });
}
