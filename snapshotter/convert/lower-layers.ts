/**
 * The layers below one, as far as it depends on them: a directory that a layer has files in but no entry for takes its
 * attributes from the nearest layer below that has one there, as containerd's unpack copies them.
 */
import { type Attributes, mergeXattrs } from './attributes.ts';
import { resolvePath } from './path-resolution.ts';
import { printable } from './tar.ts';
import { malformed } from './tar-fields.ts';

export type TreeNode =
  | { readonly kind: 'dir'; readonly attributes: Attributes }
  | { readonly kind: 'symlink'; readonly target: string }
  /** Whiteouts included: in a layer's own directory they are files. */
  | { readonly kind: 'other' };

/** What one layer leaves in its own directory, by path. */
export type LayerTree = ReadonlyMap<string, TreeNode>;

/** Attributes by path, of those directories that a layer below has. */
export type InheritedAttributes = ReadonlyMap<string, Attributes>;

/** Nearest layer first. Throws ConvertError where containerd fails to look a path up in a layer below. */
export function inheritAttributes(paths: readonly string[], layersBelow: readonly LayerTree[]): InheritedAttributes {
  const inherited = new Map<string, Attributes>();
  for (const path of paths) {
    const attributes = findDirectory(path, layersBelow);
    if (attributes !== undefined) inherited.set(path, attributes);
  }
  return inherited;
}

/** The search ends at the first layer that has anything there, directory or not. */
function findDirectory(path: string, layersBelow: readonly LayerTree[]): Attributes | undefined {
  for (const layer of layersBelow) {
    const resolution = resolvePath(path, (at) => layer.get(at) ?? { kind: 'missing' });
    if (resolution.kind === 'missing') continue;
    if (resolution.kind !== 'dir' && resolution.kind !== 'other') {
      throw malformed(
        `a layer has files in ${printable(path)}, which a layer below makes unreachable (${resolution.kind})`,
      );
    }
    if (resolution.kind !== 'dir' || resolution.path === '') return undefined;
    const node = layer.get(resolution.path);
    // Ids are copied; what a layer below calls them is its own.
    return node?.kind === 'dir' ? { ...node.attributes, userName: '', groupName: '' } : undefined;
  }
  return undefined;
}

/** A directory made before its entry came keeps the xattrs it was made with. */
export function underlay(attributes: Attributes, inherited: Attributes): Attributes {
  return { ...attributes, xattrs: mergeXattrs(inherited.xattrs, attributes.xattrs) };
}
