/**
 * Whiteouts hide what lower layers have (OCI image-spec, "Whiteouts"), so a layer may white a name out and have it itself.
 * containerd cannot make both of them for overlayfs, except where an entry of the very name follows the whiteout and takes
 * its place. The same layer can be said without the conflict: what it has stays, and is opaque where it is a directory.
 */
import type { Stack, StackEntry, StackLayer } from './stack.ts';
import { isMarker, normalise } from './stack-arbitrary.ts';

/** Undefined if there is no conflict. */
export function withoutWhiteoutConflicts({ layers }: Stack): Stack | undefined {
  // In the lowest layer whiteouts delete, and do not conflict.
  const settled = layers.map((layer, index) => (index === 0 ? layer : settleLayer(layer)));
  return settled.every((layer, index) => layer === layers[index]) ? undefined : { layers: settled };
}

function settleLayer(layer: StackLayer): StackLayer {
  const entries = layer.entries.flatMap((entry, at) => settleEntry(layer.entries, entry, at));
  return entries.every((entry, at) => entry === layer.entries[at]) ? layer : { ...layer, entries };
}

function settleEntry(entries: readonly StackEntry[], entry: StackEntry, at: number): readonly StackEntry[] {
  const marker = normalise(entry.name);
  const hidden = marker.replace(/(^|\/)\.wh\.(?!\.wh\.)([^/]+)$/, '$1$2');
  if (hidden === marker) return [entry];
  const concerns = (other: StackEntry): boolean => `${normalise(other.name)}/`.startsWith(`${hidden}/`);
  const earlier = entries.slice(0, at).filter(concerns);
  const opaque: StackEntry = { type: 'file', name: `${hidden}/.wh..wh..opq` };
  const last = earlier.findLast((other) => normalise(other.name) === hidden);
  if (earlier.length > 0) return last === undefined || last.type === 'dir' ? [opaque] : [];
  if (entries.slice(0, at).some((other) => normalise(other.name) === marker)) return [];
  const next = entries.slice(at + 1).find(concerns);
  if (next === undefined || (normalise(next.name) === hidden && !isMarker(hidden))) return [entry];
  const isReplaced = entries.slice(at + 1).some((one) => normalise(one.name) === hidden && one.type !== 'dir');
  if (isReplaced) return [];
  // Implied behind a whiteout, a directory takes nothing from the layers below.
  return [{ type: 'dir', name: hidden, mtime: '0' }, opaque];
}
