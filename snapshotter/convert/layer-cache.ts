/**
 * Converted layers on disk, keyed by source and settings, so that layers shared between images are converted once.
 * `<dir>/layers/<key>/{blob,layer.json,repositories}`; `<dir>/origins/<converted>` names the source layer, and
 * `<dir>/inheriting/<source>` the directories whose attributes come from layers below, which are part of the key.
 */
import { createHash, hash, randomUUID } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestHex, isDigest } from '../registry/digest.ts';
import { type ConvertedLayer, checkOptions, type LayerOptions } from './layer.ts';
import type { InheritedAttributes } from './lower-layers.ts';

/** Part of every key. Increment when the same input would produce different bytes. */
const converterVersion = 5;

export type CacheKeyOptions = Pick<
  LayerOptions,
  'format' | 'level' | 'chunkSizeBytes' | 'minChunkSizeBytes' | 'prioritized' | 'prefetch' | 'readRanges'
>;

/** What a layer inherits from those below it; undefined for the lowest layer, where whiteouts act differently. */
export type Inheritance = InheritedAttributes | undefined;

export interface CachedLayer extends ConvertedLayer {
  readonly source: Digest;
}

export class LayerCache {
  readonly #directory: string;

  /** Creates the directory if necessary. */
  static async open(directory: string): Promise<LayerCache> {
    await mkdir(join(directory, 'layers'), { recursive: true });
    await mkdir(join(directory, 'origins'), { recursive: true });
    await mkdir(join(directory, 'inheriting'), { recursive: true });
    return new LayerCache(directory);
  }

  private constructor(directory: string) {
    this.#directory = directory;
  }

  key(source: Digest, inherited: Inheritance, options: CacheKeyOptions): string {
    const { traits, level, chunkSizeBytes, minChunkSizeBytes } = checkOptions(options);
    const prioritized = traits.landmark ? (options.prioritized ?? []) : [];
    const readRanges = traits.landmark ? [...(options.readRanges ?? [])] : [];
    const settings = [options.format, level, chunkSizeBytes, minChunkSizeBytes, prioritized, readRanges];
    const parts: unknown[] = [converterVersion, source, ...settings];
    parts.push(inherited === undefined ? null : inheritedKey(inherited));
    if (traits.landmark && options.prefetch !== undefined) parts.push({ prefetch: options.prefetch });
    return hash('sha256', JSON.stringify(parts), 'hex');
  }

  /** Of a layer that is kept as it is. */
  reuseKey(source: Digest): string {
    return hash('sha256', JSON.stringify(['reused', source]), 'hex');
  }

  /** The directories that inherit attributes from layers below; undefined if this source layer was not read before. */
  async inheriting(source: Digest): Promise<readonly string[] | undefined> {
    try {
      const text = await readFile(this.#inheritingPath(source), 'utf8');
      const paths: unknown = JSON.parse(text);
      return Array.isArray(paths) ? (paths as string[]) : undefined;
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  async rememberInheriting(source: Digest, paths: readonly string[]): Promise<void> {
    const staged = join(this.#directory, `work-${randomUUID()}`);
    await writeFile(staged, JSON.stringify(paths));
    await rename(staged, this.#inheritingPath(source));
  }

  /** A directory on the cache's file system, so that `keep` only renames. The caller removes it. */
  workDir(): Promise<string> {
    return mkdtemp(join(this.#directory, 'work-'));
  }

  /** The layer, if its bytes still match its digest; a damaged one is removed. */
  async find(key: string): Promise<CachedLayer | undefined> {
    const directory = this.#layerDir(key);
    let record: CachedLayer;
    try {
      record = JSON.parse(await readFile(join(directory, 'layer.json'), 'utf8')) as CachedLayer;
    } catch (error) {
      if (isMissing(error)) return undefined;
      if (!(error instanceof SyntaxError)) throw error;
      await rm(directory, { recursive: true, force: true });
      return undefined;
    }
    const path = join(directory, 'blob');
    if ((await digestOfFile(path)) === record.digest) return { ...record, path };
    await rm(directory, { recursive: true, force: true });
    return undefined;
  }

  /** Moves the layer's file into the cache. If another process was first, keeps its identical copy. */
  async keep(key: string, source: Digest, layer: ConvertedLayer): Promise<CachedLayer> {
    const staged = await mkdtemp(join(this.#directory, 'work-'));
    try {
      await rename(layer.path, join(staged, 'blob'));
      const { path: _, ...record } = { ...layer, source };
      await writeFile(join(staged, 'layer.json'), `${JSON.stringify(record, null, 2)}\n`);
      // A reused layer is its own source, and may be the conversion of another.
      if (layer.digest !== source) await writeFile(join(this.#directory, 'origins', digestHex(layer.digest)), source);
      await rename(staged, this.#layerDir(key));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    } finally {
      await rm(staged, { recursive: true, force: true });
    }
    return { ...layer, source, path: join(this.#layerDir(key), 'blob') };
  }

  /** The source of a layer in this cache. */
  originOf(converted: Digest): Digest | undefined {
    try {
      const text = readFileSync(join(this.#directory, 'origins', digestHex(converted)), 'utf8');
      return isDigest(text) ? text : undefined;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** `registry/repository` names that the layer was pushed to, from which it may be mounted. */
  async repositories(key: string): Promise<string[]> {
    try {
      const text = await readFile(join(this.#layerDir(key), 'repositories'), 'utf8');
      return [...new Set(text.split('\n').filter((line) => line !== ''))];
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async addRepository(key: string, name: string): Promise<void> {
    if ((await this.repositories(key)).includes(name)) return;
    await appendFile(join(this.#layerDir(key), 'repositories'), `${name}\n`);
  }

  #inheritingPath(source: Digest): string {
    return join(this.#directory, 'inheriting', `${digestHex(source)}.v${converterVersion}`);
  }

  #layerDir(key: string): string {
    return join(this.#directory, 'layers', key);
  }
}

function inheritedKey(inherited: InheritedAttributes): unknown[] {
  return [...inherited].map(([path, { mode, uid, gid, mtime, xattrs }]) => {
    return [path, mode, uid, gid, mtime.sec, mtime.nsec, [...(xattrs ?? [])].toSorted()];
  });
}

async function digestOfFile(path: string): Promise<Digest | undefined> {
  const state = createHash('sha256');
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) state.update(piece as Buffer);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  return `sha256:${state.digest('hex')}` as Digest;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
