/** Turns a replayed layer back into entries: each file once, under its resolved path, with its final attributes. */
import { haveEqualAttributes } from './attributes.ts';
import { joinPath, parentOf } from './path-resolution.ts';
import type { Inode, LayerFile, ReplayedLayer } from './replay.ts';
import { normaliseName, type TarEntry } from '../tar/tar.ts';
import { emptyFile } from '../tar/tar-header.ts';

export interface CanonicalEntry {
  readonly entry: TarEntry;
  /** Whether the header in the source tar differs, so that a new one must be written. */
  readonly rewritten: boolean;
}

/** Parents precede their children, an opaque marker follows its directory, hard links follow their target. */
export function* canonicalEntries({ files }: ReplayedLayer): Generator<CanonicalEntry, void, void> {
  const firstNames = new Map<Inode, string>();
  for (const file of files.values()) {
    if (isOfAufs(file)) continue;
    const { inode, path, entry } = file;
    if (inode.type === 'whiteout') {
      yield marker(joinPath(parentOf(path), `.wh.${path.slice(path.lastIndexOf('/') + 1)}`), entry);
      continue;
    }
    const linkTarget = firstNames.get(inode);
    firstNames.set(inode, linkTarget ?? path);
    // The root has an entry only if the source has one.
    if (path !== '' || entry !== undefined) yield linkTarget === undefined ? original(file) : link(file, linkTarget);
    if (inode.opaque !== undefined) yield marker(joinPath(path, '.wh..wh..opq'), inode.opaque.entry);
  }
}

/** An entry of that name would be read as a whiteout, so the paths below it imply the directory instead. */
function isOfAufs({ path, inode }: LayerFile): boolean {
  return inode.type === 'dir' && path.startsWith('.wh.', path.lastIndexOf('/') + 1);
}

function original({ path, inode, entry }: LayerFile): CanonicalEntry {
  const type = inode.type as TarEntry['type'];
  // The entry is the file's own, unless it was a hard link whose target has been removed since.
  const content = inode.source ?? emptyFile;
  const described: TarEntry = { ...content, ...inode.attributes, name: path, type };
  const isAsWritten = entry?.type === type && entry.extents === undefined && isAsFound(entry, path, inode);
  return isAsWritten ? { entry, rewritten: false } : { entry: described, rewritten: true };
}

function link({ path, inode, entry }: LayerFile, linkName: string): CanonicalEntry {
  const described: TarEntry = { ...emptyFile, ...inode.attributes, name: path, type: 'hardlink', linkName };
  const isAsWritten =
    entry?.type === 'hardlink' && normaliseName(entry.linkName) === linkName && isAsFound(entry, path, inode);
  return isAsWritten ? { entry: { ...entry, linkName }, rewritten: false } : { entry: described, rewritten: true };
}

/** Tar writers record xattrs only at a file's first name; a hard link without any keeps them. */
function isAsFound(entry: TarEntry, path: string, { attributes }: Inode): boolean {
  const { xattrs } = entry;
  const repeated = entry.type !== 'hardlink' || (xattrs !== undefined && xattrs.size > 0);
  return (
    entry.name === path && haveEqualAttributes(attributes, { ...entry, xattrs: repeated ? xattrs : attributes.xattrs })
  );
}

/** An empty file: only the name of a marker matters. */
function marker(name: string, entry: TarEntry | undefined): CanonicalEntry {
  const isAsWritten =
    entry?.name === name && entry.type === 'reg' && entry.sizeBytes === 0 && entry.extents === undefined;
  return isAsWritten ? { entry, rewritten: false } : { entry: { ...emptyFile, name, type: 'reg' }, rewritten: true };
}
