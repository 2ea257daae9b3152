/** Fetches, converts (or finds in the cache) and pushes the layers of an image, two at a time. */
import { createReadStream } from 'node:fs';
import type { ImageSource, ImageTarget } from '../images/image.ts';
import type { Digest } from '../registry/digest.ts';
import type { Descriptor } from '../registry/manifest.ts';
import type { LayerAccesses } from './accesses.ts';
import { readBlobTree } from './blob-tree.ts';
import { countBytes, FetchedLayer } from './fetched-layer.ts';
import type { CompressorPool } from './compressor-pool.ts';
import { type ConvertedLayer, type LayerOptions, openCompressors } from './layer.ts';
import type { CachedLayer, Inheritance, LayerCache } from './layer-cache.ts';
import { inheritAttributes, type LayerTree } from './lower-layers.ts';
import type { ImageOptions } from './image.ts';
import { copyLayer, isInFormat } from './reused-layer.ts';
import type { ConvertProgress, PushOutcome } from './progress.ts';

export interface LayerRun {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly cache: LayerCache;
  /** Of the source's layers. */
  readonly diffIds: readonly Digest[];
  readonly options: Pick<LayerOptions, 'format' | 'level' | 'chunkSizeBytes' | 'minChunkSizeBytes'> &
    Pick<ImageOptions, 'reuse' | 'parallelism' | 'prefetch'>;
  readonly onProgress: (progress: ConvertProgress) => void;
  readonly signal: AbortSignal;
}

export interface PushedLayer extends ConvertedLayer {
  readonly source: Digest;
  readonly cached: boolean;
  /** In the format already, and copied. */
  readonly reused: boolean;
  readonly outcome: PushOutcome;
}

/** One layer can be fetched and inflated while another is compressed; more would only cost memory. */
const concurrentLayers = 2;

/** One result per layer, in order. The first failure aborts the others and is thrown. */
export async function convertLayers(
  run: LayerRun,
  layers: readonly Descriptor[],
  accesses: readonly LayerAccesses[],
): Promise<PushedLayer[]> {
  const pool = openCompressors(run.options, run.options.parallelism);
  try {
    return await convertOn(pool, run, layers, accesses);
  } finally {
    await pool.close();
  }
}

async function convertOn(
  pool: CompressorPool,
  run: LayerRun,
  layers: readonly Descriptor[],
  accesses: readonly LayerAccesses[],
): Promise<PushedLayer[]> {
  const failed = new AbortController();
  const stack: Stack = {
    run: { ...run, pool, signal: AbortSignal.any([run.signal, failed.signal]) },
    layers,
    accesses,
    converted: layers.map(() => Promise.withResolvers<CachedLayer>()),
    started: new Map(),
    inheriting: new Map(),
    trees: new Map(),
  };
  for (const { promise } of stack.converted) promise.catch(() => {}); // rethrown by convertAt
  const results: PushedLayer[] = [];
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    while (next < layers.length && failure === undefined && !run.signal.aborted) {
      const index = next++;
      try {
        const { pushed, kept } = await convertAt(stack, index);
        stack.converted[index]!.resolve(kept);
        results[index] = pushed;
      } catch (error) {
        stack.converted[index]!.reject(error);
        failure ??= { error };
        failed.abort(error);
      }
    }
  };
  const concurrency = Math.min(concurrentLayers, run.options.parallelism ?? concurrentLayers);
  await Promise.all(Array.from({ length: concurrency }, work));
  if (failure !== undefined) throw failure.error;
  run.signal.throwIfAborted();
  return results;
}

interface StackRun extends LayerRun {
  readonly pool: CompressorPool;
}

/** State shared by the layers of one image. */
interface Stack {
  readonly run: StackRun;
  readonly layers: readonly Descriptor[];
  readonly accesses: readonly LayerAccesses[];
  /**
   * By index in the image. Only a layer with implied directories waits for those below it; they start first, so this
   * cannot deadlock.
   */
  readonly converted: readonly PromiseWithResolvers<CachedLayer>[];
  /** By cache key: the same layer may occur several times in an image (empty layers do). */
  readonly started: Map<string, Promise<FinishedLayer>>;
  /** Implied directories of each source layer above the lowest. */
  readonly inheriting: Map<Digest, Promise<readonly string[]>>;
  /** By digest of the converted layer. */
  readonly trees: Map<Digest, LayerTree>;
}

interface FinishedLayer {
  readonly pushed: PushedLayer;
  readonly kept: CachedLayer;
}

async function convertAt(stack: Stack, index: number): Promise<FinishedLayer> {
  const { run, layers } = stack;
  const { source, cache, options, onProgress, signal } = run;
  const descriptor = layers[index]!;
  const accesses = stack.accesses[index]!;
  const position: Position = {
    layer: index,
    layerCount: layers.length,
    source: descriptor.digest,
    sourceBytes: descriptor.size,
    imageBytes: layers.reduce((sum, { size }) => sum + size, 0),
  };
  const fetched = new FetchedLayer(descriptor, {
    source,
    cache,
    lowest: index === 0,
    onFetched: (doneBytes) => onProgress({ ...position, phase: 'fetch', doneBytes, totalBytes: descriptor.size }),
    signal,
  });
  try {
    const diffId = run.diffIds[index]!;
    const isReused = options.reuse === true && accesses.paths.length === 0 && !options.prefetch?.length;
    const reused = isReused && (await isInFormat(source, descriptor, options.format, signal));
    const inherited = reused ? undefined : await inheritAt(stack, index, fetched);
    const key = reused
      ? cache.reuseKey(descriptor.digest)
      : cache.key(descriptor.digest, inherited, { ...options, ...placementOf(accesses) });
    const place: Place = { descriptor, accesses, position, inherited, key, diffId, reused };
    const finished = stack.started.get(key) ?? convertOne(run, place, fetched);
    stack.started.set(key, finished);
    return await finished;
  } finally {
    await fetched.close();
  }
}

function placementOf({ paths, ranges }: LayerAccesses): Pick<LayerOptions, 'prioritized' | 'readRanges'> {
  return { prioritized: paths, readRanges: ranges };
}

async function inheritAt(stack: Stack, index: number, fetched: FetchedLayer): Promise<Inheritance> {
  if (index === 0) return undefined;
  const { cache } = stack.run;
  const { digest } = stack.layers[index]!;
  const read = async (): Promise<readonly string[]> => {
    const known = await cache.inheriting(digest);
    if (known !== undefined) return known;
    const { inheriting } = (await fetched.open()).layer;
    await cache.rememberInheriting(digest, inheriting);
    return inheriting;
  };
  const reading = stack.inheriting.get(digest) ?? read();
  stack.inheriting.set(digest, reading);
  const paths = await reading;
  const below: LayerTree[] = [];
  for (let lower = index - 1; lower >= 0 && paths.length > 0; lower--) below.push(await treeAt(stack, lower));
  return inheritAttributes(paths, below);
}

async function treeAt({ converted, trees }: Stack, index: number): Promise<LayerTree> {
  const { digest, path } = await converted[index]!.promise;
  const tree = trees.get(digest) ?? readBlobTree(path);
  trees.set(digest, tree);
  return tree;
}

type Position = Pick<ConvertProgress, 'layer' | 'layerCount' | 'source' | 'sourceBytes' | 'imageBytes'>;

interface Place {
  readonly descriptor: Descriptor;
  readonly accesses: LayerAccesses;
  readonly position: Position;
  readonly inherited: Inheritance;
  readonly key: string;
  readonly diffId: Digest;
  readonly reused: boolean;
}

async function convertOne(run: StackRun, place: Place, fetched: FetchedLayer): Promise<FinishedLayer> {
  const { cache, onProgress, signal } = run;
  const { descriptor, position, key } = place;
  const found = await cache.find(key);
  if (found !== undefined) onProgress({ ...position, phase: 'cached', totalBytes: found.sizeBytes });
  const kept = found ?? (await convertAndKeep(run, place, fetched));
  await fetched.close();
  signal.throwIfAborted();
  const onPushed = (doneBytes: number): void =>
    onProgress({ ...position, phase: 'push', doneBytes, totalBytes: kept.sizeBytes });
  onPushed(0);
  const outcome = await pushLayer(run, key, kept, onPushed);
  if (run.target.repository !== undefined) await cache.addRepository(key, run.target.repository);
  onProgress({ ...position, phase: 'done', totalBytes: kept.sizeBytes, outcome });
  return {
    kept,
    pushed: { ...kept, source: descriptor.digest, cached: found !== undefined, reused: place.reused, outcome },
  };
}

async function convertAndKeep(
  { cache, options, pool, onProgress, signal }: StackRun,
  { descriptor, accesses, position, inherited, key, diffId, reused }: Place,
  fetched: FetchedLayer,
): Promise<CachedLayer> {
  if (reused) {
    const { workDir, blob } = await fetched.openBlob();
    const copied = await copyLayer(descriptor, { format: options.format, diffId, blob, workDir, signal });
    return cache.keep(key, descriptor.digest, copied);
  }
  const { layer, workDir } = await fetched.open();
  layer.inherit(inherited ?? new Map());
  const writing = {
    ...options,
    ...placementOf(accesses),
    workDir,
    signal,
    onProgress: (doneBytes: number, totalBytes: number) =>
      onProgress({ ...position, phase: 'convert', doneBytes, totalBytes }),
  };
  const converted = await layer.write(writing, pool);
  return cache.keep(key, descriptor.digest, converted);
}

async function pushLayer(
  { target, cache, signal }: LayerRun,
  key: string,
  layer: CachedLayer,
  onPushed: (doneBytes: number) => void,
): Promise<PushOutcome> {
  if (await target.hasBlob(layer.digest, signal)) return 'present';
  for (const from of target.repository === undefined ? [] : await cache.repositories(key)) {
    if (await target.mountBlob(layer.digest, from, signal)) return 'mounted';
  }
  const open = (): AsyncIterable<Uint8Array> =>
    countBytes(createReadStream(layer.path, { highWaterMark: 1 << 20 }), onPushed);
  await target.pushBlob({ digest: layer.digest, sizeBytes: layer.sizeBytes, open }, signal);
  return 'pushed';
}
