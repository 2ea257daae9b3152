import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { execa } from 'execa';
import type { RegistryClient } from '../../snapshotter/registry/client.ts';
import { type Digest, digester, digestOf } from '../../snapshotter/registry/digest.ts';
import { hostPlatform, mediaTypes } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';

/** Writes a layer's files below `root`. */
export type FillLayer = (root: string) => Promise<void> | void;

export interface SyntheticImage {
  readonly reference: string;
  /** Bottom first; each is filled into an empty directory, or is a tar already. */
  readonly layers: readonly (FillLayer | Buffer)[];
  /** Fields of the image configuration, over those of an image for this machine without a command. */
  readonly configuration?: Readonly<Record<string, unknown>>;
  /** Whose media types. Default: oci. */
  readonly mediaTypes?: 'oci' | 'docker';
  /** False: the manifest is pushed by its digest only. */
  readonly isTagged?: boolean;
  /** For the layers while they are packed. Default: the system's temporary directory. */
  readonly scratch?: string;
}

export interface PushedImage {
  readonly digest: Digest;
  /** Of the manifest. */
  readonly sizeBytes: number;
  readonly layers: readonly Digest[];
}

const typesOf = {
  oci: { manifest: mediaTypes.ociManifest, config: mediaTypes.ociConfig, layer: mediaTypes.ociLayerGzip },
  docker: { manifest: mediaTypes.dockerManifest, config: mediaTypes.dockerConfig, layer: mediaTypes.dockerLayerGzip },
} as const;

/** Pushes an image of gzip layers, with owners, times and extended attributes as they are on disk. */
export async function pushImage(
  client: RegistryClient,
  image: SyntheticImage,
  signal: AbortSignal,
): Promise<PushedImage> {
  const reference = parseReference(image.reference);
  const types = typesOf[image.mediaTypes ?? 'oci'];
  const parent = image.scratch ?? tmpdir();
  await mkdir(parent, { recursive: true });
  const scratch = await mkdtemp(join(parent, 'image-'));
  try {
    const layers: PackedLayer[] = [];
    for (const [index, layer] of image.layers.entries()) {
      const packed = await packLayer(join(scratch, String(index)), layer);
      const { digest, sizeBytes, path } = packed;
      await client.pushBlob(reference, { digest, sizeBytes, open: () => createReadStream(path) }, signal);
      layers.push(packed);
    }
    const configuration = Buffer.from(
      JSON.stringify({
        ...hostPlatform(),
        config: { Env: ['PATH=/usr/local/bin:/usr/bin:/bin'] },
        history: [],
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
        ...image.configuration,
      }),
    );
    const config = { mediaType: types.config, digest: digestOf(configuration), size: configuration.length };
    const open = () => Readable.from([configuration]);
    await client.pushBlob(reference, { digest: config.digest, sizeBytes: config.size, open }, signal);
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: types.manifest,
        config,
        layers: layers.map(({ digest, sizeBytes }) => ({ mediaType: types.layer, digest, size: sizeBytes })),
      }),
    );
    const digest = digestOf(manifest);
    const { registry, repository } = reference;
    const name = image.isTagged === false ? { registry, repository, digest } : reference;
    await client.pushManifest(name, types.manifest, manifest, signal);
    return { digest, sizeBytes: manifest.length, layers: layers.map((layer) => layer.digest) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The layer of a container that runs a shell: a static busybox and the directories that a container needs. */
export async function fillShell(root: string): Promise<void> {
  await mkdir(join(root, 'bin'), { recursive: true });
  for (const dir of ['tmp', 'etc', 'proc', 'dev', 'sys']) await mkdir(join(root, dir));
  await copyFile('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'echo', 'sleep', 'id', 'ip', 'hostname']) {
    await symlink('busybox', join(root, 'bin', name));
  }
}

interface PackedLayer {
  readonly path: string;
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly sizeBytes: number;
}

/** By way of the disk: a layer may be larger than what should be in memory. */
async function packLayer(stem: string, layer: FillLayer | Buffer): Promise<PackedLayer> {
  const [tarPath, path] = [`${stem}.tar`, `${stem}.tar.gz`];
  if (Buffer.isBuffer(layer)) await writeFile(tarPath, layer);
  else {
    const root = `${stem}-root`;
    await mkdir(root, { mode: 0o755 });
    await layer(root);
    const metadata = ['--format=posix', '--sort=name', '--numeric-owner', '--xattrs', '--xattrs-include=*'];
    await execa('tar', ['-C', root, ...metadata, '-cf', tarPath, '.']);
    await rm(root, { recursive: true });
  }
  const [diffId, digest] = [digester(), digester()];
  await pipeline(
    createReadStream(tarPath),
    async function* (pieces: AsyncIterable<Buffer>) {
      for await (const piece of pieces) {
        diffId.update(piece);
        yield piece;
      }
    },
    createGzip(),
    async function* (pieces: AsyncIterable<Buffer>) {
      for await (const piece of pieces) {
        digest.update(piece);
        yield piece;
      }
    },
    createWriteStream(path),
  );
  await rm(tarPath);
  return { path, digest: digest.digest(), diffId: diffId.digest(), sizeBytes: (await stat(path)).size };
}
