import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as yieldTurn } from 'node:timers/promises';
import { TocReader } from '../estargz/toc.ts';
import type { BlobSource } from '../registry/blob.ts';
import { type Digest, digestHex } from '../registry/digest.ts';
import { formatReference, parseReference, type Reference } from '../registry/reference.ts';
import { StoreError } from '../store/error.ts';
import { adaptivePolicy, singlePolicy } from '../store/fetch-window.ts';
import type { LayerMeta } from '../store/layer-directory.ts';
import { LayerStore, type StoreContext } from '../store/layer-store.ts';
import { type FetchMetrics, noFetchMetrics } from '../store/metrics.ts';
import type { FetchScheduler } from '../store/scheduler.ts';
import { type BuiltTree, buildInodeTable } from '../tree/build.ts';
import { LayerError } from './error.ts';
import type { LayerConfig } from './layer-config.ts';
import type { LayerRequest } from './layer-request.ts';
import { type ResolvedLayer, resolveLayer, suffixBytesFor } from './resolve.ts';
import { createResolvedLayers, type ResolvedLayers } from './resolved-layers.ts';
import { checkTocDigest } from './verification.ts';

export interface LayerSourcesOptions {
  /** Directory of the layer stores; created if missing. */
  readonly root: string;
  readonly registry: { blob(reference: Reference, digest: Digest, urls?: readonly string[]): BlobSource };
  readonly scheduler: FetchScheduler;
  readonly config: LayerConfig;
  readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
  readonly metrics?: FetchMetrics;
}

/** Enough to see whether a registry answers. */
const probeBytes = 64;

interface BuiltLayer {
  readonly tree: BuiltTree;
  readonly tocDigest: Digest;
}

/** Where layers come from: the disk of an earlier mount, or the registry. Holds resolutions made ahead of their use. */
export class LayerSources {
  readonly #options: LayerSourcesOptions;
  readonly #resolved: ResolvedLayers;
  /** As long as the resolution it was made from is kept. */
  readonly #built = new WeakMap<ResolvedLayer, BuiltLayer>();
  readonly #aborter = new AbortController();

  constructor(options: LayerSourcesOptions) {
    this.#options = options;
    this.#resolved = createResolvedLayers(options.config.resolveTtlMs);
  }

  /** The layer's store, verified as the request and the rules ask. Throws LayerError, FormatError, RegistryError, StoreError. */
  async open(request: LayerRequest): Promise<LayerStore> {
    return (await this.#openStored(request)) ?? (await this.#createStore(request));
  }

  /** From an image's first request on, so that the other layers' TOCs are here when they are asked for. */
  resolveAhead(request: LayerRequest, digests: readonly Digest[]): void {
    for (const digest of digests) {
      if (digest === request.digest || this.#isStored(digest)) continue;
      this.#resolve(request, digest, digests.length).catch(() => {});
    }
  }

  /**
   * Builds the inode table of a layer that is resolved or being resolved, so that its own request, which containerd sends
   * some milliseconds after the one before it, finds it ready. A TOC that cannot be built fails there, not here.
   */
  async buildAhead(request: LayerRequest, digest: Digest): Promise<void> {
    const resolved = await this.#resolved.peek(repositoryOf(request.reference), digest);
    // The answer to the request before goes out first.
    await yieldTurn();
    if (resolved !== undefined && !this.#aborter.signal.aborted) this.#builtOf(resolved);
  }

  /** Throws LayerError unless the TOC is what the request's label and the rules ask for. */
  verify(request: LayerRequest, tocDigest: Digest, unverifiableChunkCount: number): boolean {
    return checkTocDigest(request, tocDigest, unverifiableChunkCount, this.#options.config);
  }

  /** Whether the registry answers for this layer now; throws RegistryError if not. */
  async probe({ reference, digest }: LayerMeta, signal: AbortSignal): Promise<void> {
    await this.#options.registry.blob(parseReference(reference), digest).fetchSuffix(probeBytes, signal);
  }

  close(): void {
    this.#aborter.abort(new LayerError('closed', 'all', 'the daemon is stopping'));
    this.#resolved.clear();
  }

  /** The store of an earlier mount, or undefined. One that is damaged is as good as none. */
  async #openStored(request: LayerRequest): Promise<LayerStore | undefined> {
    try {
      const { root, log } = this.#options;
      const store = LayerStore.open(
        root,
        request.digest,
        (toc, meta) => this.#build(toc, meta.footer, meta.tocDigest).tree,
        () => this.#storeContext(request),
      );
      try {
        this.verify(request, store.meta.tocDigest, store.unverifiableChunkCount);
      } catch (error) {
        // Perhaps mounted unverified, from a registry that lied: what the label says decides, so fetch it anew.
        log.warn({ digest: request.digest, error: String(error) }, 'cached layer not used');
        await store.close();
        return undefined;
      }
      log.info({ digest: request.digest, chunks: store.presentChunks() }, 'layer found in the cache');
      return store;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'damaged') throw error;
      const cause = error.cause as NodeJS.ErrnoException | undefined;
      if (cause?.code !== 'ENOENT')
        this.#options.log.warn({ error: `${error.message} (${cause?.message})` }, 'damaged layer store');
      return undefined;
    }
  }

  async #createStore(request: LayerRequest): Promise<LayerStore> {
    const { digest, reference } = request;
    const repository = repositoryOf(reference);
    const resolved = await this.#resolve(request, digest, request.siblings.length);
    const { footer, blobSizeBytes, toc } = resolved;
    const { tree, tocDigest } = this.#builtOf(resolved);
    const tocVerified = this.verify(request, tocDigest, tree.unverifiableChunkCount);
    const layer = {
      digest,
      reference: formatReference(parseReference(reference)),
      blobSizeBytes,
      footer,
      tocDigest,
      tocVerified,
    };
    const store = await LayerStore.create(this.#options.root, { ...layer, toc, tree }, this.#storeContext(request));
    this.#resolved.forget(repository, digest);
    return store;
  }

  #builtOf(resolved: ResolvedLayer): BuiltLayer {
    let built = this.#built.get(resolved);
    if (built === undefined) {
      built = this.#build(resolved.toc, resolved.footer, undefined);
      this.#built.set(resolved, built);
    }
    return built;
  }

  #build(toc: Uint8Array, footer: LayerMeta['footer'], expected: Digest | undefined): BuiltLayer {
    const reader = new TocReader(toc, footer);
    const { payloadEnd, compression } = footer;
    const { opaqueXattr } = this.#options.config;
    const tree = buildInodeTable(reader, { tocOffset: payloadEnd, compression, opaqueXattr });
    const tocDigest = reader.digest();
    if (expected !== undefined && tocDigest !== expected)
      throw new Error(`the TOC has digest ${tocDigest}, not ${expected}`);
    return { tree, tocDigest };
  }

  #resolve(request: LayerRequest, digest: Digest, layerCount: number): Promise<ResolvedLayer> {
    const reference = parseReference(request.reference);
    return this.#resolved.get(repositoryOf(request.reference), digest, () => {
      const source = this.#options.registry.blob(
        reference,
        digest,
        digest === request.digest ? request.urls : undefined,
      );
      const link = this.#options.scheduler.link(reference.registry);
      return resolveLayer(source, suffixBytesFor(Math.max(1, layerCount)), link, this.#aborter.signal);
    });
  }

  #isStored(digest: Digest): boolean {
    return existsSync(join(this.#options.root, digestHex(digest), 'meta.json'));
  }

  #storeContext(request: LayerRequest): StoreContext {
    const { registry, scheduler, config, metrics } = this.#options;
    const reference = parseReference(request.reference);
    return {
      source: registry.blob(reference, request.digest, request.urls),
      scheduler,
      link: scheduler.link(reference.registry),
      metrics: metrics ?? noFetchMetrics,
      policy: config.adaptiveFetch ? adaptivePolicy : singlePolicy,
    };
  }
}

function repositoryOf(reference: string): string {
  const { registry, repository } = parseReference(reference);
  return `${registry}/${repository}`;
}
