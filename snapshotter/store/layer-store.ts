import { closeSync } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Footer } from '../estargz/footer.ts';
import type { HotRange } from '../estargz/hot-ranges.ts';
import type { Digest } from '../registry/digest.ts';
import type { BuiltTree } from '../tree/build.ts';
import { chunkDigestOf, type InodeTable } from '../tree/inode-table.ts';
import { assertContentInProportion } from './content-limit.ts';
import { createDiskReserve } from './disk-reserve.ts';
import { StoreError } from './error.ts';
import { createFetchWindow, type FetchWindow } from './fetch-window.ts';
import { Flights } from './flights.ts';
import { planHotSpans } from './hot-spans.ts';
import {
  createLayerDirectory,
  damagedDirectory,
  type LayerMeta,
  openDataFile,
  readLayerDirectory,
} from './layer-directory.ts';
import type { LayerInflater } from './inflate-pool.ts';
import type { LinkEstimate } from './link-estimate.ts';
import { chunksOf, firstMemberFrom, indexMembers, type MemberIndex } from './member-index.ts';
import type { ChunkTarget } from './member-reader.ts';
import type { FetchMetrics, FetchPriority } from './metrics.ts';
import { noOwnDigests, type OwnDigests, openOwnDigests } from './own-digests.ts';
import { allocatePresence, countContent, firstChunkFrom, isPresent, markPresent, markUsed } from './presence.ts';
import { PresenceFile, readPresence } from './presence-file.ts';
import type { FetchScheduler } from './scheduler.ts';
import { chunkRunsOf, type Span } from './spans.ts';
import type { StoreContext, StoreObserver } from './store-context.ts';
import { createUnverifiedChunks, type UnverifiedChunks } from './unverified-chunks.ts';

export interface NewLayer {
  readonly digest: Digest;
  readonly reference: string;
  readonly blobSizeBytes: number;
  readonly footer: Footer;
  readonly tocDigest: Digest;
  readonly packedTocDigest?: Digest;
  /** Compressed: [footer.tocOffset, footer.tocEnd) of the blob; or its packed TOC. */
  readonly toc: Uint8Array;
  readonly tree: BuiltTree;
}

const growthDelayMs = 5000;
/** A layer's verification yields to readers and other layers after each of these. */
const verifiedAtOnceBytes = 8 * 1024 * 1024;

/**
 * One layer's fetched content on local disk: a sparse data file, its presence bitmap, the TOC. Owns the data file's
 * descriptor. This process verified a chunk's bytes before it set the chunk's bit.
 */
export class LayerStore {
  readonly meta: LayerMeta;
  readonly directory: string;
  readonly table: InodeTable;
  readonly landmark: BuiltTree['landmark'];
  readonly unverifiableChunkCount: number;
  readonly present: SharedArrayBuffer;
  readonly dataFd: number;
  readonly dataPath: string;
  readonly #bits: Int32Array;
  readonly #index: MemberIndex;
  readonly #file: PresenceFile;
  readonly #flights: Flights;
  readonly #inflater: LayerInflater;
  readonly #window: FetchWindow;
  readonly #link: LinkEstimate;
  readonly #metrics: FetchMetrics;
  readonly #scheduler: FetchScheduler;
  readonly #unverified: UnverifiedChunks;
  readonly #ownDigests: OwnDigests;
  readonly #onGrowth: () => void;
  readonly #observer: StoreObserver | undefined;
  readonly #aborter = new AbortController();
  #presentChunks = 0;
  #onComplete: (() => void)[] = [];
  #growthTimer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Creates the store of a layer, in place of one already in `root`. Throws FormatError 'limit' if the content is out of
   * proportion to the blob.
   */
  static async create(root: string, layer: NewLayer, context: StoreContext): Promise<LayerStore> {
    const { toc, tree, ...facts } = layer;
    assertContentInProportion(tree.table.dataSizeBytes, layer.footer.payloadEnd);
    const index = indexMembers(tree.table, layer.digest);
    const meta: LayerMeta = { version: 2, ...facts, dataSizeBytes: tree.table.dataSizeBytes };
    const directory = createLayerDirectory(root, meta, toc);
    return new LayerStore(directory, meta, tree, index, context);
  }

  /**
   * Opens the store of an earlier process, without a request to the registry. `build` turns its TOC into a tree, and rejects if
   * the digest is not that of `meta`. Throws StoreError 'damaged' if the store is absent or invalid.
   */
  static async open(
    root: string,
    digest: Digest,
    build: (toc: Uint8Array, meta: LayerMeta) => Promise<BuiltTree>,
    contextOf: (meta: LayerMeta) => StoreContext,
  ): Promise<LayerStore> {
    const { directory, meta, toc } = readLayerDirectory(root, digest);
    let tree: BuiltTree;
    let index: MemberIndex;
    try {
      tree = await build(toc, meta);
      index = indexMembers(tree.table, digest);
    } catch (cause) {
      throw damagedDirectory(directory, cause);
    }
    if (tree.table.dataSizeBytes !== meta.dataSizeBytes) {
      throw new StoreError(
        'damaged',
        directory,
        'its data file was laid out by another version; it will be created again',
      );
    }
    return new LayerStore(directory, meta, tree, index, contextOf(meta));
  }

  private constructor(directory: string, meta: LayerMeta, tree: BuiltTree, index: MemberIndex, context: StoreContext) {
    const { table, landmark } = tree;
    this.meta = meta;
    this.directory = directory;
    this.table = table;
    this.landmark = landmark;
    this.unverifiableChunkCount = tree.unverifiableChunkCount;
    this.#index = index;
    this.#link = context.link;
    this.#metrics = context.metrics;
    this.#scheduler = context.scheduler;
    this.#onGrowth = context.onGrowth ?? (() => {});
    this.#observer = context.observer;
    this.present = allocatePresence(table.chunkCount);
    this.#bits = new Int32Array(this.present);
    this.dataPath = join(directory, 'data');
    this.dataFd = openDataFile(directory, meta.dataSizeBytes);
    const hasAllDigests = table.chunkHasDigest.every((has) => has === 1);
    let ownDigests = noOwnDigests;
    try {
      if (!hasAllDigests) ownDigests = openOwnDigests(directory);
      this.#unverified = createUnverifiedChunks({
        table,
        words: readPresence(directory, table.chunkCount),
        dataFd: this.dataFd,
        digestOf: (chunk) => (table.chunkHasDigest[chunk] === 1 ? chunkDigestOf(table, chunk) : ownDigests.of(chunk)),
        verified: (chunk) => this.#chunkPresent(chunk),
        damaged: (chunk) => {
          this.#file.note(chunk);
          context.onDamage?.(chunk);
        },
      });
      this.#file = new PresenceFile(directory, table.chunkCount, this.#bits, this.#unverified);
    } catch (cause) {
      ownDigests.close();
      closeSync(this.dataFd);
      throw new StoreError('damaged', directory, 'its bitmap cannot be used; the store will be created again', cause);
    }
    this.#ownDigests = ownDigests;
    this.#window = createFetchWindow(table, index, this.#bits, context.link, context.policy);
    const target: ChunkTarget = {
      subject: meta.digest,
      table,
      index,
      bits: this.#bits,
      dataFd: this.dataFd,
      reserve: createDiskReserve(directory),
      compression: meta.footer.compression,
      chunkOverwritten: (chunk) => this.#unverified.drop(chunk),
      chunkStored: (chunk, digest) => this.#chunkStored(chunk, digest),
    };
    this.#inflater = context.inflaters.openLayer(target);
    this.#flights = new Flights({
      target,
      inflater: this.#inflater,
      source: context.source,
      scheduler: context.scheduler,
      link: context.link,
      window: this.#window,
      metrics: this.#metrics,
      trace: context.trace,
      isStored: (member) => this.#isOnDisk(member),
    });
    context.observer?.opened(this);
  }

  /**
   * Resolves when bytes [dataOffset, dataOffset + sizeBytes) of the data file are present and verified; fetches what is
   * missing. Rejects with StoreError, or with the signal's reason; the fetch itself continues.
   */
  async ensure(dataOffset: number, sizeBytes: number, priority: FetchPriority, signal?: AbortSignal): Promise<void> {
    const startedMs = performance.now();
    if (this.#unverified.count > 0) await this.#verifyRange(dataOffset, sizeBytes, signal);
    let waited = false;
    for (let attempt = 0; ; attempt++) {
      const members = this.#missingMembers(dataOffset, sizeBytes, priority === 'demand');
      if (members.length === 0) {
        if (!waited) this.#metrics.ensured(priority, 'hit');
        else if (priority === 'demand') {
          this.#metrics.demandWaited(performance.now() - startedMs);
          this.#observer?.waited(this, dataOffset);
        }
        return;
      }
      if (attempt === 2) throw new StoreError('fetch', this.meta.digest, 'fetched content did not arrive in the store');
      const { joined, done } = this.#flights.fetch(members, priority, signal);
      if (!waited) this.#metrics.ensured(priority, joined ? 'joined' : 'miss');
      waited = true;
      try {
        await done;
      } catch (error) {
        // A transfer that this reader joined may have been ended by others: retry once with a request of its own.
        if (!joined || attempt > 0 || !(error instanceof StoreError) || error.code !== 'fetch') throw error;
      }
    }
  }

  isPresent(dataOffset: number, sizeBytes: number): boolean {
    return this.#missingMembers(dataOffset, sizeBytes, false).length === 0;
  }

  /**
   * Verifies what an earlier daemon stored, as background work, unless a read did so before. Fetches nothing: damaged
   * chunks become missing.
   */
  async verify(signal: AbortSignal): Promise<void> {
    const { chunkDataOffset, chunkCount } = this.table;
    const ending = AbortSignal.any([signal, this.#aborter.signal]);
    for (let first = 0; first < chunkCount && this.#unverified.count > 0; ) {
      let end = first + 1;
      const endOffset = chunkDataOffset[first]! + verifiedAtOnceBytes;
      while (end < chunkCount && chunkDataOffset[end]! < endOffset) end++;
      await this.#inBackground(() => this.#unverified.verify(first, end, ending), ending);
      first = end;
    }
  }

  /** Prefetches everything before this blob offset (the landmark, or prefetch_size). Reads join the flights. */
  async prefetch(blobEnd: number, signal?: AbortSignal): Promise<void> {
    const last = firstMemberFrom(this.table, blobEnd) - 1;
    if (this.#unverified.count > 0) await this.#verifyMembers([{ first: 0, last }], signal);
    await this.#flights.waitFor(this.#flights.queue(0, last, 'prefetch'), signal);
  }

  /** Prefetches the members of these ranges in the order of their rank, over all layers. Reads join the flights. */
  async prefetchRanges(ranges: readonly HotRange[], signal?: AbortSignal): Promise<void> {
    const spans = planHotSpans(this.table, ranges, this.#link);
    if (this.#unverified.count > 0) await this.#verifyMembers(spans, signal);
    const queued = spans.flatMap(({ first, last, rank }) => this.#flights.queue(first, last, 'prefetch', { rank }));
    await this.#flights.waitFor(queued, signal);
  }

  async #verifyMembers(spans: readonly Span[], signal: AbortSignal | undefined): Promise<void> {
    for (const { first, last } of chunkRunsOf(this.table, spans))
      await this.#unverified.verify(first, last + 1, signal);
  }

  /** Background fill: fetches the rest of the layer, one request at a time, when nothing more urgent runs. */
  async fill(signal: AbortSignal): Promise<void> {
    for (let member = 0; member < this.table.memberCount; ) {
      signal.throwIfAborted();
      const queued = this.#flights.queue(member, this.table.memberCount - 1, 'background', {
        mostBytes: 4 * 1024 * 1024,
      });
      if (queued.length === 0) return;
      await this.#flights.waitFor(queued, signal);
      member = queued.at(-1)! + 1;
    }
  }

  presentChunks(): number {
    return this.#presentChunks;
  }

  /** Chunks found on disk and not verified yet. */
  unverifiedChunks(): number {
    return this.#unverified.count;
  }

  get complete(): boolean {
    return this.#presentChunks === this.table.chunkCount;
  }

  /** Calls back once when the layer is complete; at once if it is. */
  onComplete(callback: () => void): void {
    if (this.complete) callback();
    else this.#onComplete.push(callback);
  }

  /** Current state, for /debug/layers. */
  snapshot(): Readonly<Record<string, number | string | boolean>> {
    const { contentBytes, presentBytes } = countContent(this.table, this.#bits);
    const { usedBytes, unusedBytes } = this.#window.accounts();
    return {
      chunks: this.table.chunkCount,
      presentChunks: this.#presentChunks,
      unverifiedChunks: this.#unverified.count,
      contentBytes,
      presentBytes,
      fetchedShare: contentBytes === 0 ? 1 : presentBytes / contentBytes,
      blobSizeBytes: this.meta.blobSizeBytes,
      membersInFlight: this.#flights.inFlight,
      demandedBytes: usedBytes,
      speculatedUnusedBytes: unusedBytes,
      inodes: this.table.inodeCount,
    };
  }

  /** Notes the time for least-recently-used eviction. */
  async touch(now: Date = new Date()): Promise<void> {
    await utimes(join(this.directory, 'meta.json'), now, now).catch(() => {});
  }

  /** Ends transfers, closes the descriptor. Idempotent. The directory stays. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#observer?.closing(this);
    this.#aborter.abort(new StoreError('closed', this.meta.digest, 'the layer is being released'));
    await Promise.all([this.#flights.close(), this.#unverified.close()]);
    clearTimeout(this.#growthTimer);
    this.#inflater.close();
    this.#file.close();
    this.#ownDigests.close();
    closeSync(this.dataFd);
  }

  /** Runs `work` at background priority. */
  #inBackground(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const ticket = this.#scheduler.submit(this.meta.digest, 'background', () => work().then(resolve, reject));
    const cancel = (): void => {
      ticket.cancel();
      reject(signal.reason);
    };
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    return promise.finally(() => signal.removeEventListener('abort', cancel));
  }

  async #verifyRange(dataOffset: number, sizeBytes: number, signal: AbortSignal | undefined): Promise<void> {
    const first = firstChunkFrom(this.table, dataOffset);
    let end = first;
    while (end < this.table.chunkCount && this.table.chunkDataOffset[end]! < dataOffset + sizeBytes) end++;
    await this.#unverified.verify(first, end, signal);
  }

  /** Ascending, each once. Chunks are in data order and members in blob order, which need not agree. */
  #missingMembers(dataOffset: number, sizeBytes: number, use: boolean): number[] {
    const { table } = this;
    const end = dataOffset + sizeBytes;
    const members: number[] = [];
    for (
      let chunk = firstChunkFrom(table, dataOffset);
      chunk < table.chunkCount && table.chunkDataOffset[chunk]! < end;
      chunk++
    ) {
      if (use) markUsed(this.#bits, chunk);
      if (isPresent(this.#bits, chunk)) continue;
      const member = table.chunkMember[chunk]!;
      if (member !== members.at(-1)) members.push(member);
    }
    return members.length > 1 ? [...new Set(members)].sort((a, b) => a - b) : members;
  }

  /** Not to be fetched: present, or on disk and to be verified first. */
  #isOnDisk(member: number): boolean {
    return chunksOf(this.#index, member).every((chunk) => isPresent(this.#bits, chunk) || this.#unverified.has(chunk));
  }

  #chunkStored(chunk: number, digest: Uint8Array | undefined): void {
    this.#unverified.drop(chunk);
    if (digest !== undefined) this.#ownDigests.note(chunk, digest);
    this.#chunkPresent(chunk);
    this.#file.note(chunk);
    this.#growthTimer ??= setTimeout(() => {
      this.#growthTimer = undefined;
      this.#onGrowth();
    }, growthDelayMs).unref();
  }

  #chunkPresent(chunk: number): void {
    markPresent(this.#bits, chunk);
    this.#presentChunks++;
    if (!this.complete) return;
    const callbacks = this.#onComplete;
    this.#onComplete = [];
    for (const callback of callbacks) callback();
  }
}
