import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { parse, type TomlTable } from 'smol-toml';
import { containerdVersions, unpackContainerd } from './testing/containerd-versions.ts';

/** Options that containerd has since 1.7, as the file says. */
const snapshotterOfRuntime = '.io.containerd.grpc.v1.cri.containerd.runtimes.overlayfs.snapshotter';

for (const version of containerdVersions) {
  test(`containerd ${version.line} accepts every option of snapshotter/deploy`, { timeout: 240_000 }, async (t) => {
    const command = await unpackContainerd(version, t.signal);
    const schema = version.major === 2 ? 3 : 2;
    const path = fileURLToPath(new URL(`../../snapshotter/deploy/containerd-config-v${schema}.toml`, import.meta.url));
    const ask = async (...args: string[]) => {
      const { stdout } = await execa(command, args, { timeout: 20_000, cancelSignal: t.signal });
      return parse(stdout);
    };
    const shipped = parse(await readFile(path, 'utf8'));
    const [known, dumped] = [await ask('config', 'default'), await ask('--config', path, 'config', 'dump')];
    assert.equal(known.version, schema);
    const unknown = Object.keys(shipped.plugins as TomlTable).filter((name) => !(name in (known.plugins as TomlTable)));
    assert.deepEqual(unknown, []);
    // containerd prints a plugin's section from what it parsed: an unknown key is absent.
    assert.deepEqual(findLost(shipped.plugins, dumped.plugins), version.line === '1.6' ? [snapshotterOfRuntime] : []);
  });
}

test('a key that containerd does not know is found', () => {
  const shipped = { a: { right: 1, wrong: true, list: [{ x: 'y', z: 0 }] } };
  const dumped = { a: { right: 1, other: false, list: [{ x: 'y', more: '' }] } };
  assert.deepEqual(findLost(shipped, dumped), ['.a.wrong', '.a.list.0.z']);
});

/** Paths of values in `shipped` that `dumped` lacks or that differ. */
function findLost(shipped: unknown, dumped: unknown, path = ''): string[] {
  if (typeof shipped !== 'object' || shipped === null) return Object.is(shipped, dumped) ? [] : [path];
  return Object.entries(shipped).flatMap(([key, value]) =>
    findLost(value, (dumped as Record<string, unknown> | undefined)?.[key], `${path}.${key}`),
  );
}
