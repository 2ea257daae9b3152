import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inlineBuilder, type LayerBuilder } from '../builder/builder.ts';
import type { BuiltLayer } from '../builder/built-layer.ts';
import { createTreeMemory, type LayerMemory, type TreeMemory } from '../builder/tree-memory.ts';
import { TocReader } from '../estargz/toc.ts';
import { describeError, type Log } from '../platform/log.ts';
import { type BlobSource, distrustOnce } from '../registry/blob-source.ts';
import { type Digest, digestHex } from '../registry/digest.ts';
import { formatReference, parseReference, type Reference } from '../registry/reference.ts';
import { StoreError } from '../store/error.ts';
import { adaptivePolicy, singlePolicy } from '../store/fetch-window.ts';
import type { InflatePool } from '../store/inflate-pool.ts';
import type { LayerMeta } from '../store/layer-directory.ts';
import { LayerStore } from '../store/layer-store.ts';
import type { StoreContext } from '../store/store-context.ts';
import type { FetchMetrics } from '../store/metrics.ts';
import type { FetchScheduler } from '../store/scheduler.ts';
import type { BuiltTree } from '../tree/build.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import type { AccessProfiles } from './access-profiles.ts';
import { LayerError } from './error.ts';
import type { LayerConfig } from './layer-config.ts';
import type { LayerRequest } from './layer-request.ts';
import { createNamedFiles, type NamedFiles } from './named-files.ts';
import { isWrongFormat, type LayerFacts, resolveLayer, suffixFor } from './resolve.ts';
import { createResolvedLayers, type ResolvedLayers } from './resolved-layers.ts';
import { checkTocDigest, type TocFacts } from './verification.ts';

export interface LayerSourcesOptions {
  /** Directory of the layer stores; created if missing. */
  readonly root: string;
  readonly registry: { blob(reference: Reference, digest: Digest, urls?: readonly string[]): BlobSource };
  /** Absent where nobody looks for them. The owner closes it. */
  readonly profiles?: Pick<AccessProfiles, 'find'> | undefined;
  readonly scheduler: FetchScheduler;
  readonly inflaters: InflatePool;
  /** Default: on this thread. */
  readonly builder?: LayerBuilder;
  readonly config: LayerConfig;
  readonly log: Pick<Log, 'trace' | 'info' | 'warn'>;
  readonly metrics: FetchMetrics;
}

/** Concurrent requests for siblings' TOCs: at 30 ms of RTT one every 4 ms, the rate of containerd's Prepares. */
const resolveLanes = 8;

/** In the store of a layer that was mounted by its packed TOC and is an image's lowest as well. */
const fetchedTocName = 'toc-lowest';

/** Enough to see whether the registry responds. */
const probeBytes = 64;

/** A layer's store, its plain tree and its memory account. The owner closes store and account. */
export interface OpenedLayer {
  readonly store: LayerStore;
  readonly tree: BuiltTree;
  readonly memory: LayerMemory;
  /** The store is of an earlier mount. An earlier daemon may have left it mounted, its data file guarded. */
  readonly wasOnDisk: boolean;
}

/** Opens layers from the disk of an earlier mount or from the registry. Caches what was resolved ahead. */
export class LayerSources {
  readonly #options: LayerSourcesOptions;
  readonly #resolved: ResolvedLayers;
  readonly #memory: TreeMemory;
  readonly #named: NamedFiles;
  readonly #builder: LayerBuilder;
  readonly #onGrowth: () => void;
  readonly #aborter = new AbortController();

  /** `onGrowth` is called when a store has grown on disk. */
  constructor(options: LayerSourcesOptions, onGrowth: () => void) {
    this.#options = options;
    this.#onGrowth = onGrowth;
    this.#builder = options.builder ?? inlineBuilder;
    this.#resolved = createResolvedLayers(options.config.resolveTtlMs);
    this.#named = createNamedFiles(options.log.trace);
    this.#memory = createTreeMemory(options.config.treeMemoryBytes);
  }

  /** Opens the layer's store, verified as request and configuration require. Throws LayerError, FormatError, RegistryError, StoreError. */
  async open(request: LayerRequest): Promise<OpenedLayer> {
    const stored = await this.#withMemory((memory) => this.#openStored(request, memory));
    if (stored !== undefined) return stored;
    const blamed = new Set<string>();
    for (let asked = request; ; ) {
      const facts = await this.#resolveOwn(asked);
      try {
        return await this.#withMemory(async (memory) => {
          const built = await this.#build(request, facts.toc, facts.footer, memory);
          this.verify(request, { ...built, ...built.tree });
          return await this.#createStore(request, facts, built);
        });
      } catch (error) {
        if (facts.isPacked && isWrongToc(error)) asked = this.#withoutPackedToc(request, request.digest, error);
        // Try the next server, which may have the right TOC.
        else if (!isWrongToc(error) || isPromised(facts, request) || !distrustOnce(facts.source, facts.servers, blamed))
          throw error;
        else this.#forget(request, request.digest);
      }
    }
  }

  /** Opens a sibling that is not on disk, unverified: only its own request has its label. */
  async openAhead(request: LayerRequest, sibling: Digest): Promise<OpenedLayer> {
    const ahead = { reference: request.reference, digest: sibling, siblings: request.siblings, skipVerify: false };
    const openFrom = (facts: LayerFacts): Promise<OpenedLayer> =>
      this.#withMemory(async (memory) =>
        this.#createStore(ahead, facts, await this.#build(ahead, facts.toc, facts.footer, memory)),
      );
    const facts = await this.#resolve(request, sibling);
    return await openFrom(facts).catch(async (error) => {
      if (!facts.isPacked || !isWrongToc(error)) throw error;
      return await openFrom(await this.#resolve(this.#withoutPackedToc(request, sibling, error), sibling));
    });
  }

  /** A layer with a packed TOC that cannot be used has another. */
  #withoutPackedToc(request: LayerRequest, digest: Digest, error: unknown): LayerRequest {
    this.#options.log.warn({ digest, error: describeError(error) }, 'packed TOC not used');
    this.#forget(request, digest);
    const { packedTocSizes: _, ...others } = request;
    return others;
  }

  #forget({ reference }: LayerRequest, digest: Digest): void {
    this.#resolved.forget(repositoryOf(parseReference(reference)), digest);
  }

  /** The tree of a stored layer as the lowest of its image. */
  async buildLowest(store: LayerStore, memory: LayerMemory): Promise<InodeTable> {
    const { meta, directory, table } = store;
    // A packed TOC is of one tree only.
    const isPacked = meta.packedTocDigest !== undefined;
    const fetchedBytes = isPacked ? meta.footer.tocEnd - meta.footer.tocOffset : 0;
    memory.take(fetchedBytes);
    try {
      const toc = isPacked ? await this.#fetchToc(store) : readFileSync(join(directory, 'toc'));
      const { opaqueXattr } = this.#options.config;
      const build = { toc, footer: meta.footer, opaqueXattr, memory, isLowest: true };
      const { tree, tocDigest } = await this.#builder.build(build, meta.reference);
      const isSame = tree.table.chunkCount === table.chunkCount && tree.table.dataSizeBytes === table.dataSizeBytes;
      if (tocDigest === meta.tocDigest && isSame) return tree.table;
      memory.give(tree.table.shared.byteLength);
      rmSync(join(directory, fetchedTocName), { force: true });
      throw new LayerError('corrupt', meta.digest, 'its TOC is not the one that it was mounted by');
    } finally {
      memory.give(fetchedBytes);
    }
  }

  /** Kept in the store, so that a restart does not need the registry. */
  async #fetchToc({ directory, meta }: LayerStore): Promise<Buffer> {
    const path = join(directory, fetchedTocName);
    if (existsSync(path)) return readFileSync(path);
    const { reference, digest, footer } = meta;
    const source = this.#sourceOf({ reference, digest, siblings: [], skipVerify: false });
    const pieces: Buffer[] = [];
    for await (const piece of source.fetchRange(footer.tocOffset, footer.tocEnd, this.#aborter.signal))
      pieces.push(Buffer.from(piece));
    const toc = Buffer.concat(pieces);
    writeFileSync(`${path}.new`, toc, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    return toc;
  }

  /**
   * Resolves siblings in order, from an image's first request on, so that their TOCs are here when they are requested.
   * Skips those that are no longer `wanted` because they were mounted meanwhile.
   */
  resolveAhead(request: LayerRequest, siblings: readonly Digest[], wanted: (sibling: Digest) => boolean): void {
    const waiting = siblings[Symbol.iterator]();
    const resolveSome = async (): Promise<void> => {
      for (const digest of waiting) if (wanted(digest)) await this.#resolve(request, digest).catch(() => {});
    };
    for (let lane = 0; lane < resolveLanes; lane++) void resolveSome();
    // Of an image without such a label, the first layer first tells whether it is lazy at all.
    if (request.tocDigest !== undefined) void this.hotRangesOf(request);
  }

  /**
   * What to prefetch of the layer: the list of its own label, or one that is being looked for. A restored layer has no siblings:
   * nothing is asked of the registry for its sake.
   */
  hotRangesOf(request: LayerRequest): string | Promise<string | undefined> | undefined {
    const sought = request.siblings.length > 0 ? this.#options.profiles?.find(request) : undefined;
    return request.hotRanges ?? sought;
  }

  /** The list of a sibling that is mounted ahead of its own request. */
  async hotRangesAbove(request: LayerRequest, sibling: Digest): Promise<string | undefined> {
    return (
      request.hotRangesAbove?.get(sibling) ?? (await this.#options.profiles?.find({ ...request, digest: sibling }))
    );
  }

  /** Throws LayerError unless the TOC digest satisfies the request's label and the configuration. */
  verify(request: LayerRequest, toc: TocFacts): boolean {
    return checkTocDigest(request, toc, this.#options.config);
  }

  /** Resolves if the registry serves this layer now; throws RegistryError if not. */
  async probe(request: LayerRequest, signal: AbortSignal): Promise<void> {
    await this.#sourceOf(request).fetchSuffix(probeBytes, signal);
  }

  close(): void {
    this.#aborter.abort(new LayerError('closed', 'all', 'the daemon is stopping'));
    this.#resolved.clear();
  }

  async #withMemory<Opened extends Omit<OpenedLayer, 'memory'> | undefined>(
    open: (memory: LayerMemory) => Promise<Opened>,
  ): Promise<Opened extends undefined ? undefined : OpenedLayer> {
    const memory = this.#memory.open();
    let opened: Opened | undefined;
    try {
      opened = await open(memory);
      return (opened === undefined ? undefined : { ...opened, memory }) as never;
    } finally {
      if (opened === undefined) memory.close();
    }
  }

  /** The store of an earlier mount; undefined if there is none or it is damaged. */
  async #openStored(request: LayerRequest, memory: LayerMemory): Promise<Omit<OpenedLayer, 'memory'> | undefined> {
    let opened: BuiltTree | undefined;
    try {
      const { root, log } = this.#options;
      const rebuild = async (toc: Uint8Array, meta: LayerMeta): Promise<BuiltTree> => {
        const { tree, ...digests } = await this.#build(request, toc, meta.footer, memory);
        opened = tree;
        for (const name of ['tocDigest', 'packedTocDigest'] as const)
          if (digests[name] !== meta[name]) throw new Error(`the ${name} is ${digests[name]}, not ${meta[name]}`);
        return tree;
      };
      const store = await LayerStore.open(root, request.digest, rebuild, () =>
        this.#storeContext(request, this.#sourceOf(request)),
      );
      try {
        this.verify(request, { ...store.meta, unverifiableChunkCount: store.unverifiableChunkCount });
      } catch (error) {
        // Perhaps mounted unverified from a lying registry. The label decides: fetch the layer again.
        log.warn({ digest: request.digest, error: describeError(error) }, 'cached layer not used');
        await store.close();
        return undefined;
      }
      log.info({ digest: request.digest, chunks: store.unverifiedChunks() }, 'layer found in the cache');
      return { store, tree: opened!, wasOnDisk: true };
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'damaged') throw error;
      const cause = error.cause as NodeJS.ErrnoException | undefined;
      if (cause?.code !== 'ENOENT') this.#options.log.warn({ error: describeError(error) }, 'damaged layer store');
      return undefined;
    }
  }

  async #createStore(
    request: LayerRequest,
    facts: LayerFacts,
    built: BuiltLayer,
  ): Promise<Omit<OpenedLayer, 'memory'>> {
    const { digest } = request;
    const { footer, blobSizeBytes, toc } = facts;
    const { tree, ...digests } = built;
    const reference = parseReference(request.reference);
    const layer = { digest, reference: formatReference(reference), blobSizeBytes, footer, ...digests };
    const source = request.urls === undefined ? facts.source : this.#sourceOf(request);
    const context = this.#storeContext(request, source);
    const store = await LayerStore.create(this.#options.root, { ...layer, toc, tree }, context);
    this.#resolved.forget(repositoryOf(reference), digest);
    return { store, tree, wasOnDisk: false };
  }

  #build(
    { reference }: LayerRequest,
    toc: Uint8Array,
    footer: LayerMeta['footer'],
    memory: LayerMemory,
  ): Promise<BuiltLayer> {
    const { opaqueXattr } = this.#options.config;
    return this.#builder.build({ toc, footer, opaqueXattr, memory }, reference);
  }

  /** A layer that was resolved ahead as ordinary, but has a TOC label of its own, may have come from a wrong mirror: resolve again. */
  async #resolveOwn(request: LayerRequest): Promise<LayerFacts> {
    const repository = repositoryOf(parseReference(request.reference));
    const wasKnown = this.#resolved.has(repository, request.digest);
    try {
      return await this.#resolve(request, request.digest);
    } catch (error) {
      const isOrdinary = error instanceof LayerError && error.reason === 'not-lazy';
      if (!wasKnown || !isOrdinary || request.tocDigest === undefined) throw error;
      this.#resolved.forget(repository, request.digest);
      return await this.#resolve(request, request.digest);
    }
  }

  #resolve(request: LayerRequest, digest: Digest): Promise<LayerFacts> {
    const reference = parseReference(request.reference);
    return this.#resolved.get(repositoryOf(reference), digest, () => {
      const urls = digest === request.digest ? request.urls : undefined;
      const source = this.#options.registry.blob(reference, digest, urls);
      const link = this.#options.scheduler.link(reference.registry);
      const suffix = suffixFor(request, digest);
      const isLazy = digest === request.digest && request.tocDigest !== undefined;
      const memory = this.#memory.open();
      const resolving = resolveLayer(source, suffix, link, isLazy, memory, this.#aborter.signal);
      resolving.catch(() => memory.close());
      return resolving;
    });
  }

  isStored(digest: Digest): boolean {
    return existsSync(join(this.#options.root, digestHex(digest), 'meta.json'));
  }

  #sourceOf({ reference, digest, urls }: LayerRequest): BlobSource {
    return this.#options.registry.blob(parseReference(reference), digest, urls);
  }

  #storeContext(request: LayerRequest, source: BlobSource): StoreContext {
    const { scheduler, inflaters, config, metrics, log } = this.#options;
    return {
      source,
      scheduler,
      inflaters,
      link: scheduler.link(parseReference(request.reference).registry),
      metrics,
      trace: log.trace,
      policy: config.adaptiveFetch ? adaptivePolicy : singlePolicy,
      observer: config.adaptiveFetch ? this.#named.observe(request.siblings) : undefined,
      onGrowth: this.#onGrowth,
      onDamage: (chunk) =>
        this.#options.log.warn({ digest: request.digest, chunk }, 'damaged on disk; fetched again when it is needed'),
    };
  }
}

function isWrongToc(error: unknown): boolean {
  return isWrongFormat(error) || (error instanceof LayerError && error.reason === 'toc-digest-mismatch');
}

/** Whether the TOC has the promised digest, so that its mistakes are the image's and not a server's. */
function isPromised({ toc, footer }: LayerFacts, { tocDigest }: LayerRequest): boolean {
  try {
    return tocDigest !== undefined && new TocReader(toc, footer).digest() === tocDigest;
  } catch {
    return false;
  }
}

function repositoryOf({ registry, repository }: Reference): string {
  return `${registry}/${repository}`;
}
