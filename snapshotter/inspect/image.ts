/** Inspects the layers of an image, or one layer in a file. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type PlannedImage, planImage } from '../convert/image-plan.ts';
import { FormatError } from '../estargz/error.ts';
import type { ImageSource } from '../images/image.ts';
import { readPieces, readWhole, rangeOf, type StoredFile } from '../images/stored-file.ts';
import { type Digest, digester } from '../registry/digest.ts';
import type { Descriptor, Platform } from '../registry/manifest.ts';
import { inspectLayer, type InspectedLayer, type LayerSummary } from './layer-summary.ts';
import { type Verification, verifyLayer } from './verify.ts';

export interface InspectOptions {
  readonly platform: Platform | undefined;
  /** Read everything and check every digest. */
  readonly verify: boolean;
  /** Layers that are verified are kept below it meanwhile. */
  readonly scratch: string;
  readonly onLayer: (index: number, count: number) => void;
  readonly signal: AbortSignal;
}

export interface InspectedImage {
  readonly name: string;
  /** Null for a single layer. */
  readonly manifest: { readonly digest: string; readonly platform: string } | null;
  readonly layers: readonly LayerReport[];
}

export interface LayerReport extends LayerSummary {
  readonly verification: Omit<Verification, 'problems'> | null;
}

/** Throws ConvertError, ImageError or RegistryError; what is wrong with a layer is one of its problems. */
export async function inspectImage(source: ImageSource, options: InspectOptions): Promise<InspectedImage> {
  const { platform, signal, onLayer } = options;
  const image = await planImage({ source, signal }, platform);
  const { layers } = image.manifest;
  const reports: LayerReport[] = [];
  for (const [index, descriptor] of layers.entries()) {
    onLayer(index, layers.length);
    const read = (start: number, end: number): Promise<Buffer> => source.readRange(descriptor, start, end, signal);
    const fetch = (): AsyncIterable<Buffer> => source.fetchBlob(descriptor, signal);
    const diffId = image.config.rootfs.diff_ids[index] as Digest;
    reports.push(await report({ descriptor, read, fetch, diffId }, options));
  }
  return { name: source.name, manifest: await identify(source, image, signal), layers: reports };
}

/** A blob of a layer, such as a file below blobs/sha256. */
export async function inspectFile(file: StoredFile, options: InspectOptions): Promise<InspectedImage> {
  const state = digester();
  for await (const piece of readPieces(file, options.signal)) state.update(piece);
  const descriptor: Descriptor = { mediaType: '', digest: state.digest(), size: file.sizeBytes };
  const read = (start: number, end: number) => readWhole(rangeOf(file, start, end), end - start, file.path);
  const layer = { descriptor, read, fetch: () => readPieces(file, options.signal), diffId: undefined };
  options.onLayer(0, 1);
  return { name: file.path, manifest: null, layers: [await report(layer, options)] };
}

interface LayerBytes {
  readonly descriptor: Descriptor;
  readonly read: (start: number, end: number) => Promise<Buffer>;
  readonly fetch: () => AsyncIterable<Buffer>;
  readonly diffId: Digest | undefined;
}

async function report({ descriptor, read, fetch, diffId }: LayerBytes, options: InspectOptions): Promise<LayerReport> {
  const inspected = await inspectOrRefuse(descriptor, read);
  if (!options.verify) return { ...inspected.summary, verification: null };
  const directory = await mkdtemp(join(options.scratch, 'inspect-'));
  try {
    const { signal } = options;
    const settings = { pieces: fetch(), path: join(directory, 'blob'), diffId, signal };
    const { problems, ...verification } = await verifyLayer(inspected, settings);
    const { summary } = inspected;
    return { ...summary, problems: [...summary.problems, ...problems], verification };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A layer whose TOC cannot be read is one that no daemon mounts; containerd unpacks it. */
async function inspectOrRefuse(
  descriptor: Descriptor,
  read: (start: number, end: number) => Promise<Buffer>,
): Promise<InspectedLayer> {
  try {
    return await inspectLayer(descriptor, read);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const { digest, mediaType, size: sizeBytes, annotations = {} } = descriptor;
    const format = /zstd/.test(mediaType) ? 'zstd' : 'gzip';
    const summary = {
      digest,
      mediaType,
      sizeBytes,
      format,
      toc: null,
      annotations,
      problems: [error.message],
    } as const;
    return { summary, footer: undefined, content: undefined };
  }
}

async function identify(source: ImageSource, image: PlannedImage, signal: AbortSignal) {
  const digest = image.descriptor?.digest ?? (await source.fetchManifest(undefined, signal)).digest;
  const { os, architecture, variant } = image.config;
  const platform = [os, architecture, variant].filter((part) => part !== undefined).join('/');
  return { digest, platform };
}
