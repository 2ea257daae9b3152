import { rm } from 'node:fs/promises';
import type { RegistryClient } from '../registry/client.ts';
import type { Descriptor } from '../registry/manifest.ts';
import type { Reference } from '../registry/reference.ts';
import { readLayer, type SourceLayer } from './layer.ts';
import type { LayerCache } from './layer-cache.ts';

export interface FetchedLayerOptions {
  readonly client: RegistryClient;
  readonly source: Reference;
  readonly cache: LayerCache;
  readonly lowest: boolean;
  readonly onFetched: (doneBytes: number) => void;
  readonly signal: AbortSignal;
}

/** A layer's blob, fetched and read when it is first asked for. */
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
    const { client, source, cache, lowest, onFetched, signal } = this.#options;
    this.#workDir ??= await cache.workDir();
    const workDir = this.#workDir;
    if (this.#layer === undefined) {
      const { digest, urls } = this.#descriptor;
      const blob = countBytes(client.fetchBlob(source, digest, signal, urls), onFetched);
      this.#layer = await readLayer(blob, { workDir, signal, lowest });
    }
    return { layer: this.#layer, workDir };
  }

  async close(): Promise<void> {
    this.#layer?.close();
    this.#layer = undefined;
    if (this.#workDir !== undefined) await rm(this.#workDir, { recursive: true, force: true });
  }
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
