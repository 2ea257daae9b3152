import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { ImageSource, ImageTarget } from '../../../snapshotter/images/image.ts';
import { type ImageManifest, parseManifest } from '../../../snapshotter/registry/manifest.ts';

const limitMs = 1_800_000;
const maxConfigBytes = 8 << 20;

/** Copies an image as it is; returns the bytes of its layers. */
export async function copyImage(source: ImageSource, target: ImageTarget, signal: AbortSignal): Promise<number> {
  const { bytes, mediaType } = await source.fetchManifest(undefined, signal);
  const manifest = requireManifest(bytes, mediaType);
  const config = await source.readBlob(manifest.config.digest, maxConfigBytes, signal);
  const open = async function* () {
    yield config;
  };
  await target.pushBlob({ digest: manifest.config.digest, sizeBytes: config.length, open }, signal);
  for (const layer of manifest.layers) {
    const blob = { digest: layer.digest, sizeBytes: layer.size, open: () => source.fetchBlob(layer, signal) };
    await target.pushBlob(blob, signal);
  }
  await target.tag(mediaType, bytes, signal);
  return layersBytes(manifest);
}

export interface Conversion {
  readonly convertMs: number;
  readonly convertedBytes: number;
}

const convertProgram = join(import.meta.dirname, '../../../snapshotter/convert/cli.ts');

/** From one OCI image layout to another, which is removed. */
export async function convertByUs(layout: string, level: number, signal: AbortSignal): Promise<Conversion> {
  const out = `${layout}-converted`;
  try {
    const args = [convertProgram, `oci:${layout}`, `oci:${out}`, '--level', String(level)];
    const { ms, stdout } = await timed(process.execPath, args, signal);
    const digest = /@sha256:([0-9a-f]{64})$/.exec(stdout.trim())![1]!;
    const manifest = await readFile(join(out, 'blobs/sha256', digest));
    return { convertMs: ms, convertedBytes: layersBytes(requireManifest(manifest, '')) };
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

export interface ContentStore {
  /** containerd's socket. */
  readonly address: string;
  /** The name of the image in it. */
  readonly image: string;
}

/** Fetches the image from a plain-HTTP registry, without unpacking it. */
export async function fetchToStore({ address, image }: ContentStore, signal: AbortSignal): Promise<void> {
  await timed('ctr', ['--address', address, 'content', 'fetch', '--plain-http', image], signal);
}

/** From containerd's content store into it; the converted image is removed. */
export async function convertByPeer(
  { address, image }: ContentStore,
  level: number,
  signal: AbortSignal,
): Promise<Conversion> {
  const converted = `${image}-converted`;
  const options = ['--no-optimize', '--oci', `--estargz-compression-level=${level}`];
  const { ms } = await timed(
    'ctr-remote',
    ['--address', address, 'images', 'optimize', ...options, image, converted],
    signal,
  );
  const ctr = (...args: string[]) => timed('ctr', ['--address', address, ...args], signal);
  const { stdout } = await ctr('images', 'ls', `name==${converted}`);
  const digest = /sha256:[0-9a-f]{64}/.exec(stdout)![0];
  const manifest = Buffer.from((await ctr('content', 'get', digest)).stdout);
  // Waits for the garbage collection, so that the next conversion writes everything again.
  await ctr('images', 'rm', '--sync', converted);
  return { convertMs: ms, convertedBytes: layersBytes(requireManifest(manifest, '')) };
}

async function timed(command: string, args: readonly string[], signal: AbortSignal) {
  const startMs = performance.now();
  const { stdout } = await execa(command, args, { cancelSignal: signal, timeout: limitMs, stdin: 'ignore' });
  return { ms: performance.now() - startMs, stdout };
}

function requireManifest(bytes: Buffer, mediaType: string): ImageManifest {
  const parsed = parseManifest(bytes, mediaType);
  if (parsed.kind !== 'manifest') throw new Error('the image is an index, where one for this platform is expected');
  return parsed.manifest;
}

function layersBytes({ layers }: ImageManifest): number {
  return layers.reduce((sum, { size }) => sum + size, 0);
}
