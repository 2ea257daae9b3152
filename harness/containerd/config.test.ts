import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, type TomlTable } from 'smol-toml';
import { formatContainerdConfig, formatHosts } from './config.ts';

const at = (table: TomlTable, ...path: string[]) =>
  path.reduce<unknown>((value, key) => (value as TomlTable)[key], table);

test('a private containerd has no path outside its directory', () => {
  const text = formatContainerdConfig({ directory: '/state/cell', majorVersion: 1, snapshotter: 'overlayfs' });
  const config = parse(text);
  assert.equal(config.version, 2);
  for (const path of text.matchAll(/"(\/[^"]*)"/g)) assert.match(path[1]!, /^\/state\/cell\//);
  assert.ok((config.disabled_plugins as string[]).includes('io.containerd.internal.v1.opt'));
});

test('CRI pulls with the snapshotter of a lazy cell, with annotations', () => {
  const options = { directory: '/c', snapshotter: 'stargz', snapshotterAddress: '/c/s.sock' } as const;
  const first = parse(formatContainerdConfig({ ...options, majorVersion: 1 }));
  assert.equal(at(first, 'proxy_plugins', 'stargz', 'address'), '/c/s.sock');
  const cri = at(first, 'plugins', 'io.containerd.grpc.v1.cri', 'containerd') as TomlTable;
  assert.deepEqual({ ...cri }, { snapshotter: 'stargz', disable_snapshot_annotations: false });

  const second = parse(formatContainerdConfig({ ...options, majorVersion: 2 }));
  assert.equal(second.version, 3);
  const images = at(second, 'plugins', 'io.containerd.cri.v1.images') as TomlTable;
  assert.equal(images.snapshotter, 'stargz');
  assert.equal(images.disable_snapshot_annotations, false);
  assert.equal(at(second, 'proxy_plugins', 'stargz', 'exports', 'enable_remote_snapshot_annotations'), 'true');
  const transfer = at(second, 'plugins', 'io.containerd.transfer.v1.local') as TomlTable;
  assert.deepEqual(JSON.parse(JSON.stringify(transfer.unpack_config)), [{ platform: 'linux', snapshotter: 'stargz' }]);
});

test('CRI pulls through the transfer service only if configured', () => {
  const options = { directory: '/c', snapshotter: 'stargz', majorVersion: 2 } as const;
  for (const pullsByTransfer of [false, true]) {
    const config = parse(formatContainerdConfig({ ...options, pullsByTransfer }));
    const images = at(config, 'plugins', 'io.containerd.cri.v1.images') as TomlTable;
    assert.equal(images.use_local_image_pull, !pullsByTransfer);
    assert.equal(images.disable_snapshot_annotations, pullsByTransfer);
  }
});

test('the sandbox image is configured where each version looks for it', () => {
  const options = { directory: '/c', snapshotter: 'stargz', pauseImage: 'r/pause:1' } as const;
  const first = parse(formatContainerdConfig({ ...options, majorVersion: 1 }));
  assert.equal(at(first, 'plugins', 'io.containerd.grpc.v1.cri', 'sandbox_image'), 'r/pause:1');
  const second = parse(formatContainerdConfig({ ...options, majorVersion: 2 }));
  assert.equal(at(second, 'plugins', 'io.containerd.cri.v1.images', 'pinned_images', 'sandbox'), 'r/pause:1');
});

test('a registry on loopback is configured for plain HTTP', () => {
  const hosts = parse(formatHosts('127.0.0.1:5000'));
  assert.equal(hosts.server, 'http://127.0.0.1:5000');
  assert.deepEqual(at(hosts, 'host', 'http://127.0.0.1:5000', 'capabilities'), ['pull', 'resolve']);
});
