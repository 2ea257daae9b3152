import { createReadStream } from 'node:fs';
import { copyFile, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import { execa } from 'execa';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { digestOf } from '../../snapshotter/registry/digest.ts';
import { hostPlatform, mediaTypes } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';

/** Writes a layer's files below `root`. */
export type FillLayer = (root: string) => Promise<void>;

/** Pushes an image of two layers, a static busybox and a file, as `reference` to a plain-HTTP registry on loopback. */
export async function pushTinyImage(reference: string, scratch: string, signal: AbortSignal): Promise<void> {
  await pushImageOf([fillShell, (root) => writeFile(join(root, 'greeting'), 'hello\n')], reference, scratch, signal);
}

/** A static busybox and the directories a container needs. */
export async function fillShell(root: string): Promise<void> {
  await mkdir(join(root, 'bin'), { recursive: true });
  for (const dir of ['tmp', 'etc', 'proc', 'dev', 'sys']) await mkdir(join(root, dir));
  await copyFile('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'echo', 'sleep', 'id', 'ip', 'hostname']) {
    await symlink('busybox', join(root, 'bin', name));
  }
}

/** One gzip layer per `fill`, bottom first, with owners, times and extended attributes as they are on disk. */
export async function pushImageOf(
  fills: readonly FillLayer[],
  reference: string,
  scratch: string,
  signal: AbortSignal,
): Promise<void> {
  const client = new RegistryClient({});
  try {
    const ref = parseReference(reference);
    const layers = [];
    for (const [index, fill] of fills.entries()) layers.push(await packLayer(join(scratch, `layer-${index}`), fill));
    const config = Buffer.from(
      JSON.stringify({
        ...hostPlatform(),
        config: { Env: ['PATH=/bin', 'COLOUR=red'], Entrypoint: ['sh', '-c'], Cmd: ['cat /greeting'] },
        rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
        history: [],
      }),
    );
    const configDescriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length };
    for (const { digest, path, size } of layers) {
      await client.pushBlob(ref, { digest, sizeBytes: size, open: () => createReadStream(path) }, signal);
    }
    await client.pushBlob(
      ref,
      { digest: configDescriptor.digest, sizeBytes: config.length, open: () => Readable.from([config]) },
      signal,
    );
    const manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: configDescriptor,
      layers: layers.map(({ digest, size }) => ({ mediaType: mediaTypes.ociLayerGzip, digest, size })),
    };
    await client.pushManifest(ref, mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest)), signal);
  } finally {
    await client.close();
  }
}

async function packLayer(directory: string, fill: FillLayer) {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await fill(directory);
  const path = `${directory}.tar.gz`;
  await execa('tar', [
    '-C',
    directory,
    '--format=posix',
    '--numeric-owner',
    '--xattrs',
    '--xattrs-include=*',
    '-czf',
    path,
    '.',
  ]);
  const bytes = await readFile(path);
  return { path, digest: digestOf(bytes), diffId: digestOf(gunzipSync(bytes)), size: (await stat(path)).size };
}
