/**
 * Orders the entries of the converted tar (eStargz specification, "Prioritized Files and Landmark Files"): prioritised files
 * in order of access, each after its parent directories and its hard link target, then a landmark, then the rest in their
 * original order.
 */
import type { CanonicalEntry } from './canonical-entries.ts';
import { joinPath } from './path-resolution.ts';
import { normaliseName } from '../tar/tar.ts';

export interface LayerOrder {
  readonly first: readonly CanonicalEntry[];
  readonly rest: readonly CanonicalEntry[];
}

/** A path of an access record as the name of a TarEntry, which has a character per byte. */
export function recordedName(path: string): string {
  return normaliseName(Buffer.from(path, 'utf8').toString('latin1'));
}

/** Ignores prioritised names that the layer does not have. */
export function orderEntries(entries: Iterable<CanonicalEntry>, prioritized: readonly string[]): LayerOrder {
  const byName = new Map<string, CanonicalEntry>();
  for (const canonical of entries) byName.set(canonical.entry.name, canonical);
  const first = new Set<CanonicalEntry>();
  const moveAhead = (name: string): void => {
    const canonical = byName.get(name);
    if (canonical === undefined || first.has(canonical)) return;
    if (name !== '') moveAhead('');
    for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1))
      moveAhead(name.slice(0, slash));
    const { type, linkName } = canonical.entry;
    if (type === 'hardlink') moveAhead(linkName);
    first.add(canonical);
    // The marker stays next to its directory: some unpackers empty the directory when they reach the marker.
    if (type === 'dir') moveAhead(joinPath(name, '.wh..wh..opq'));
  };
  for (const path of prioritized) {
    const name = recordedName(path);
    if (name !== '') moveAhead(name);
  }
  return { first: [...first], rest: [...byName.values()].filter((canonical) => !first.has(canonical)) };
}
