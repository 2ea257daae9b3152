import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { convertImage } from '../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { type Digest, digestOf } from '../../snapshotter/registry/digest.ts';
import { type ImageManifest, mediaTypes, parseManifest } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import type { MemoryContent, MemoryOrigin } from '../registry-simulator/memory-origin.ts';
import { startRegistrySimulator } from '../registry-simulator/simulator.ts';
import { readLayerData } from './layer-data.ts';

/** Shared by all cases: an ordinary image and its lazily readable conversion. */
export interface Fixture {
  readonly content: MemoryContent;
  /** Before the conversion, so that there is something to push. */
  readonly plainContent: MemoryContent;
  readonly plainLayerDigest: Digest;
  /** Of `team/lazy:1`. */
  readonly manifest: Buffer;
  /** The largest layer of `team/lazy:1`. */
  readonly layer: Buffer;
  readonly layerDigest: Digest;
  readonly tocDigest: Digest;
  /** Digest of that layer's data file. */
  readonly layerData: string;
  /** Of the manifest of `team/plain:1` after conversion. */
  readonly convertedDigest: Digest;
}

const fileCount = 24;
const fileBytes = 40_000;

/** Built with a registry without faults. */
export async function makeFixture(signal: AbortSignal): Promise<Fixture> {
  const tar = await makeTar();
  const layer = gzipSync(tar);
  const config = encode({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
  });
  const plain = encode({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: mediaTypes.ociLayerGzip, digest: digestOf(layer), size: layer.length }],
  });
  const manifests = [{ repository: 'team/plain', tag: '1', mediaType: mediaTypes.ociManifest, bytes: plain }];
  const plainContent = { blobs: [layer, config], manifests };
  await using registry = disposable(await startRegistrySimulator({ content: plainContent }));
  await using client = disposable(new RegistryClient());
  const at = (name: string) => parseReference(`${registry.value.host}/team/${name}:1`);
  const { digest } = await convertImage(client.value, at('plain'), at('lazy'), { format: 'estargz', signal });

  const { blobs, manifests: stored } = registry.value.origin as MemoryOrigin;
  const lazy = stored.get('team/lazy:1')!;
  const parsed = parseManifest(lazy.bytes, lazy.mediaType) as { readonly manifest: ImageManifest };
  const [descriptor] = [...parsed.manifest.layers].sort((one, other) => other.size - one.size);
  const named = {
    layerDigest: descriptor!.digest,
    tocDigest: descriptor!.annotations!['containerd.io/snapshot/stargz/toc.digest'] as Digest,
  };
  return {
    ...named,
    plainContent,
    plainLayerDigest: digestOf(layer),
    layerData: await readLayerData(client.value, registry.value.host, named, signal),
    content: {
      blobs: [...blobs.values()],
      manifests: [...manifests, { repository: 'team/lazy', tag: '1', ...lazy }],
    },
    manifest: lazy.bytes,
    layer: blobs.get(descriptor!.digest)!,
    convertedDigest: digest,
  };
}

/** Incompressible files, so that the blob is larger than one request. */
async function makeTar(): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'differential-registries-'));
  try {
    const files = join(directory, 'files');
    await mkdir(files);
    let state = 1;
    for (let file = 0; file < fileCount; file++) {
      const bytes = Buffer.alloc(fileBytes);
      for (let at = 0; at < bytes.length; at++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        bytes[at] = state >>> 24;
      }
      await writeFile(join(files, `file-${file}`), bytes);
    }
    const options = ['--mtime=@0', '--owner=0', '--group=0', '--sort=name'];
    const { stdout } = await promisify(execFile)('tar', ['-C', files, ...options, '-cf', '-', '.'], {
      encoding: 'buffer',
      maxBuffer: 4 * fileCount * fileBytes,
    });
    return stdout;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function disposable<T extends { close(): Promise<void> }>(value: T): AsyncDisposable & { readonly value: T } {
  return { value, [Symbol.asyncDispose]: () => value.close() };
}
