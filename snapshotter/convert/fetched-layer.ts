import { rm } from 'node:fs/promises';
import type { ImageSource } from '../images/image.ts';
import { RegistryError } from '../registry/error.ts';
import type { Descriptor } from '../registry/manifest.ts';
import { ConvertError } from './error.ts';
import { readLayer, type SourceLayer } from './layer.ts';
import type { LayerCache } from './layer-cache.ts';

export interface FetchedLayerOptions {
  readonly source: ImageSource;
  readonly cache: LayerCache;
  readonly lowest: boolean;
  readonly onFetched: (doneBytes: number) => void;
  readonly signal: AbortSignal;
}

/** A layer's blob, fetched and read on the first `open`. */
export class FetchedLayer {
  readonly #descriptor: Descriptor;
  readonly #options: FetchedLayerOptions;
  #workDir: string | undefined;
  #layer: SourceLayer | undefined;

  constructor(descriptor: Descriptor, options: FetchedLayerOptions) {
    this.#descriptor = descriptor;
    this.#options = options;
  }

  async open(): Promise<{ readonly layer: SourceLayer; readonly workDir: string }> {
    const { source, cache, lowest, onFetched, signal } = this.#options;
    this.#workDir ??= await cache.workDir();
    const workDir = this.#workDir;
    const blamed = new Set<string>();
    while (this.#layer === undefined) {
      try {
        const blob = countBytes(source.fetchBlob(this.#descriptor, signal), onFetched);
        this.#layer = await readLayer(blob, { workDir, signal, lowest });
      } catch (error) {
        const server = await this.#whoGaveWrongBytes(error);
        if (server === undefined || blamed.has(server)) throw error;
        blamed.add(server);
      }
    }
    return { layer: this.#layer, workDir };
  }

  /** The blob as it is, and a directory to keep it in. */
  async openBlob(): Promise<{ readonly blob: AsyncIterable<Buffer>; readonly workDir: string }> {
    const { source, cache, onFetched, signal } = this.#options;
    this.#workDir ??= await cache.workDir();
    return { blob: countBytes(source.fetchBlob(this.#descriptor, signal), onFetched), workDir: this.#workDir };
  }

  /**
   * The server whose bytes do not match the digest; the client tries it last from then on. Undefined for any other failure.
   * A malformed layer stops before its end, where the digest is checked, so the blob is fetched again to check it.
   */
  async #whoGaveWrongBytes(error: unknown): Promise<string | undefined> {
    if (error instanceof RegistryError) return error.code === 'digest-mismatch' ? error.host : undefined;
    if (!(error instanceof ConvertError) || error.code !== 'malformed-layer') return undefined;
    const { source, signal } = this.#options;
    try {
      for await (const _piece of source.fetchBlob(this.#descriptor, signal));
      return undefined;
    } catch (failure) {
      return failure instanceof RegistryError && failure.code === 'digest-mismatch' ? failure.host : undefined;
    }
  }

  async close(): Promise<void> {
    this.#layer?.close();
    this.#layer = undefined;
    if (this.#workDir !== undefined) await rm(this.#workDir, { recursive: true, force: true });
  }
}

/** Passes the pieces on and reports the sum of their sizes about once per MiB. */
export async function* countBytes(
  pieces: AsyncIterable<Buffer>,
  report: (doneBytes: number) => void,
): AsyncGenerator<Buffer> {
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
