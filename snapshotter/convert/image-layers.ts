/** The layers of one image, fetched, converted (or found in the cache) and pushed, two at a time. */
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { RegistryClient } from '../registry/client.ts';
import type { Digest } from '../registry/digest.ts';
import type { Descriptor } from '../registry/manifest.ts';
import type { Reference } from '../registry/reference.ts';
import { type ConvertedLayer, convertLayer, type LayerOptions } from './layer.ts';
import type { LayerCache } from './layer-cache.ts';
import type { ConvertProgress, PushOutcome } from './progress.ts';

export interface LayerRun {
  readonly client: RegistryClient;
  readonly source: Reference;
  readonly target: Reference;
  readonly cache: LayerCache;
  readonly options: Pick<LayerOptions, 'format' | 'level' | 'chunkSizeBytes' | 'minChunkSizeBytes'>;
  readonly onProgress: (progress: ConvertProgress) => void;
  readonly signal: AbortSignal;
}

export interface PushedLayer extends Omit<ConvertedLayer, 'path'> {
  readonly source: Digest;
  readonly cached: boolean;
  readonly outcome: PushOutcome;
}

/** Fetching and inflating one layer leaves cores free for compressing another; more would only cost memory. */
const concurrentLayers = 2;

/** One result a layer, in order. The first failure stops the others and is thrown. */
export async function convertLayers(
  run: LayerRun,
  layers: readonly Descriptor[],
  prioritized: readonly (readonly string[])[],
): Promise<PushedLayer[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([run.signal, failed.signal]);
  // The same layer may stand in an image several times (empty layers do).
  const started = new Map<string, Promise<PushedLayer>>();
  const results: PushedLayer[] = [];
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    while (next < layers.length && !signal.aborted) {
      const index = next++;
      const layer = layers[index]!;
      const key = run.cache.key(layer.digest, { ...run.options, prioritized: prioritized[index]! });
      const conversion =
        started.get(key) ??
        convertOne({ ...run, signal }, layer, prioritized[index]!, key, {
          layer: index,
          layerCount: layers.length,
          source: layer.digest,
        });
      started.set(key, conversion);
      try {
        results[index] = await conversion;
      } catch (error) {
        failure ??= { error };
        failed.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: concurrentLayers }, work));
  if (failure !== undefined) throw failure.error;
  run.signal.throwIfAborted();
  return results;
}

type Position = Pick<ConvertProgress, 'layer' | 'layerCount' | 'source'>;

async function convertOne(
  run: LayerRun,
  descriptor: Descriptor,
  prioritized: readonly string[],
  key: string,
  position: Position,
): Promise<PushedLayer> {
  const { cache, onProgress, signal } = run;
  const found = await cache.find(key);
  if (found !== undefined) onProgress({ ...position, phase: 'cached', totalBytes: found.sizeBytes });
  const layer = found ?? (await convertAndKeep(run, descriptor, prioritized, key, position));
  signal.throwIfAborted();
  onProgress({ ...position, phase: 'push', totalBytes: layer.sizeBytes });
  const outcome = await pushLayer(run, key, layer);
  await cache.addRepository(key, repositoryName(run.target));
  onProgress({ ...position, phase: 'done', totalBytes: layer.sizeBytes, outcome });
  const { path: _, ...rest } = layer;
  return { ...rest, source: descriptor.digest, cached: found !== undefined, outcome };
}

async function convertAndKeep(
  { client, source, cache, options, onProgress, signal }: LayerRun,
  descriptor: Descriptor,
  prioritized: readonly string[],
  key: string,
  position: Position,
): Promise<ConvertedLayer> {
  const workDir = await cache.workDir();
  const onFetched = (doneBytes: number): void =>
    onProgress({ ...position, phase: 'fetch', doneBytes, totalBytes: descriptor.size });
  try {
    const layer = await convertLayer(() => countBytes(client.fetchBlob(source, descriptor.digest, signal), onFetched), {
      ...options,
      prioritized,
      workDir,
      signal,
      onProgress: (doneBytes, totalBytes) => onProgress({ ...position, phase: 'convert', doneBytes, totalBytes }),
    });
    return await cache.keep(key, descriptor.digest, layer);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

async function pushLayer(
  { client, target, cache, signal }: LayerRun,
  key: string,
  layer: ConvertedLayer,
): Promise<PushOutcome> {
  if (await client.hasBlob(target, layer.digest, signal)) return 'present';
  for (const name of await cache.repositories(key)) {
    const slash = name.indexOf('/');
    const repository = name.slice(slash + 1);
    if (name.slice(0, slash) !== target.registry || repository === target.repository) continue;
    if (await client.mountBlob(target, layer.digest, repository, signal)) return 'mounted';
  }
  const open = (): AsyncIterable<Uint8Array> => createReadStream(layer.path, { highWaterMark: 1 << 20 });
  await client.pushBlob(target, { digest: layer.digest, sizeBytes: layer.sizeBytes, open }, signal);
  return 'pushed';
}

/** Registries have no slash in their name, so the first one ends it. */
function repositoryName({ registry, repository }: Reference): string {
  return `${registry}/${repository}`;
}

async function* countBytes(pieces: AsyncIterable<Buffer>, report: (doneBytes: number) => void): AsyncGenerator<Buffer> {
  let doneBytes = 0;
  let reportedBytes = 0;
  for await (const piece of pieces) {
    yield piece;
    doneBytes += piece.length;
    if (doneBytes - reportedBytes < 1 << 20) continue;
    reportedBytes = doneBytes;
    report(doneBytes);
  }
}
