/**
 * The order of entries in the converted tar (eStargz specification, "Prioritized Files and Landmark Files"): what is
 * read first comes first, each file behind its parent directories and its hard link's target, then a landmark, then the
 * rest as it was.
 */
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_NAME } from '../estargz/names.ts';
import { normaliseName, printable, type TarEntry } from './tar.ts';
import { unsupported } from './tar-fields.ts';

const ownNames: readonly string[] = [PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK, TOC_NAME];

export interface LayerOrder {
  readonly first: readonly TarEntry[];
  readonly rest: readonly TarEntry[];
}

/**
 * Entries of an earlier conversion (landmarks, TOC) are left out, and of several entries with one name only the last,
 * which is what unpacking leaves. Prioritised names that the layer has not are passed over.
 */
export function orderEntries(entries: Iterable<TarEntry>, prioritized: readonly string[]): LayerOrder {
  const byName = lastByName(entries);
  const first = new Set<TarEntry>();
  const visiting = new Set<TarEntry>();
  const moveAhead = (name: string): void => {
    const entry = byName.get(name);
    // A circle of hard links ends where it comes round: such a layer does not unpack in any order.
    if (entry === undefined || first.has(entry) || visiting.has(entry)) return;
    visiting.add(entry);
    if (name !== '') moveAhead('');
    for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1))
      moveAhead(name.slice(0, slash));
    if (entry.type === 'hardlink') moveAhead(entry.linkName);
    visiting.delete(entry);
    first.add(entry);
  };
  for (const path of prioritized) {
    const name = normaliseName(Buffer.from(path, 'utf8').toString('latin1'));
    if (name !== '') moveAhead(name);
  }
  return { first: [...first], rest: [...byName.values()].filter((entry) => !first.has(entry)) };
}

function lastByName(entries: Iterable<TarEntry>): Map<string, TarEntry> {
  const byName = new Map<string, TarEntry>();
  const linkTargets = new Map<string, TarEntry>();
  for (const entry of entries) {
    if (ownNames.includes(entry.name)) continue;
    const earlier = byName.get(entry.name);
    if (earlier !== undefined && earlier.type !== 'dir') {
      // A link made before its target's name was used again keeps the first file, which no TOC could then name.
      const link = linkTargets.get(entry.name);
      if (link !== undefined) {
        throw unsupported(`${printable(entry.name)} is replaced after ${printable(link.name)} was linked to it`);
      }
      byName.delete(entry.name);
    }
    // A directory listed again keeps its place, since its children may already have followed it.
    byName.set(entry.name, entry);
    if (entry.type === 'hardlink') linkTargets.set(entry.linkName, entry);
  }
  return byName;
}
