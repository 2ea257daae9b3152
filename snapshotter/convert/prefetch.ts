/** Files to prefetch besides those of an access record, by glob patterns of their paths in the image. */
import { posix } from 'node:path';
import { normaliseName } from '../tar/tar.ts';
import type { PlacedAccess } from './accesses.ts';
import { readBlobToc } from './blob-tree.ts';

/** `name` as a TarEntry and a TOC read in Latin-1 have it: a character per byte. */
function matches(name: string, pattern: string): boolean {
  return posix.matchesGlob(pathOf(name), pattern.replace(/^\.?\/+/, ''));
}

/** The paths that match a pattern, in the order of `entries`. */
export function matchingPaths(
  entries: Iterable<{ readonly name: string; readonly type: string }>,
  patterns: readonly string[],
): string[] {
  if (patterns.length === 0) return [];
  const paths: string[] = [];
  for (const { name, type } of entries) {
    const normal = normaliseName(name);
    if (type === 'reg' && patterns.some((pattern) => matches(normal, pattern))) paths.push(pathOf(normal));
  }
  return paths;
}

/** What matches in these layers of one image, each file where it is seen. `onUnused` is called for a pattern that matches nothing. */
export function placePrefetched(
  layers: readonly { readonly path: string }[],
  patterns: readonly string[],
  onUnused: (pattern: string) => void,
): PlacedAccess[] {
  if (patterns.length === 0) return [];
  const seen = new Set<string>();
  const unused = new Set(patterns);
  const placed = layers.map((): PlacedAccess[] => []);
  for (let layer = layers.length - 1; layer >= 0; layer--) {
    const { entries } = readBlobToc(layers[layer]!.path);
    for (const path of matchingPaths(entries, patterns)) {
      if (!seen.has(path)) placed[layer]!.push({ layer, path });
      seen.add(path);
    }
    for (const pattern of unused) if (matchingPaths(entries, [pattern]).length > 0) unused.delete(pattern);
  }
  for (const pattern of unused) onUnused(pattern);
  return placed.flat();
}

/** As an access record has it. */
function pathOf(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}
