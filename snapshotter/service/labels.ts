import {
  HOT_RANGES_ABOVE_LABEL,
  HOT_RANGES_LABEL,
  PACKED_TOC_LABEL,
  PACKED_TOC_SIZES_LABEL,
  TOC_DIGEST_LABEL,
  TOC_SIZES_LABEL,
} from '../estargz/names.ts';
import { parseSizes } from '../estargz/size-list.ts';
import type { LayerRequest } from '../layers/layer-request.ts';
import { type Digest, isDigest } from '../registry/digest.ts';
import { parseReference } from '../registry/reference.ts';
import type { Labels } from '../snapshots/record.ts';

const stargzPrefix = 'containerd.io/snapshot/remote/stargz.';
const criPrefix = 'containerd.io/snapshot/cri.';

/** Marks a lazily mounted snapshot; the value is the one other remote snapshotters use. */
export const remoteLabel = 'containerd.io/snapshot/remote';
export const remoteLabelValue = 'remote snapshot';

const urlsLabel = 'containerd.io/snapshot/remote/urls';

/**
 * The layer named by a pull's labels: CRI's first, then those of ctr-remote, nerdctl and the like. Undefined without labels; a
 * message if they are malformed.
 */
export function readLayerLabels(labels: Labels): LayerRequest | string | undefined {
  const source =
    readSource(labels, `${criPrefix}image-ref`, `${criPrefix}layer-digest`, `${criPrefix}image-layers`) ??
    readSource(labels, `${stargzPrefix}reference`, `${stargzPrefix}digest`, `${stargzPrefix}layers`);
  if (source === undefined || typeof source === 'string') return source;
  const tocDigest = labels[TOC_DIGEST_LABEL];
  if (tocDigest !== undefined && !isDigest(tocDigest)) return `label ${TOC_DIGEST_LABEL} is not a sha256 digest`;
  const manifestDigest = labels[`${criPrefix}manifest-digest`];
  // As in the Go daemon, an invalid size is ignored.
  const prefetch = /^\d{1,15}$/.exec(labels[`${stargzPrefix}prefetch`] ?? '')?.[0];
  const tocSizes = parseSizes(labels[TOC_SIZES_LABEL] ?? '');
  const packedTocDigest = labels[PACKED_TOC_LABEL];
  const packedTocSizes = parseSizes(labels[PACKED_TOC_SIZES_LABEL] ?? '');
  const hotRangesAbove = readHotRangesAbove(labels, source.digest, source.siblings);
  const urls = labels[urlsLabel]?.split(',').filter((url) => url !== '') ?? [];
  return {
    ...source,
    // It only helps to find an access profile.
    ...(manifestDigest !== undefined && isDigest(manifestDigest) ? { manifestDigest } : {}),
    ...(tocDigest === undefined ? {} : { tocDigest }),
    ...(urls.length === 0 ? {} : { urls }),
    ...(tocSizes === undefined ? {} : { tocSizes }),
    ...(packedTocDigest !== undefined && isDigest(packedTocDigest) ? { packedTocDigest } : {}),
    ...(packedTocSizes === undefined ? {} : { packedTocSizes }),
    ...(labels[HOT_RANGES_LABEL] === undefined ? {} : { hotRanges: labels[HOT_RANGES_LABEL] }),
    ...(hotRangesAbove.size === 0 ? {} : { hotRangesAbove }),
    ...(prefetch === undefined ? {} : { prefetchSizeBytes: Number(prefetch) }),
    // Presence is enough; the value is ignored.
    skipVerify: Object.hasOwn(labels, `${stargzPrefix}skipverify`),
  };
}

function readSource(labels: Labels, referenceLabel: string, digestLabel: string, layersLabel: string) {
  const [reference, digest] = [labels[referenceLabel], labels[digestLabel]];
  if (reference === undefined || digest === undefined) return undefined;
  if (!isDigest(digest)) return `label ${digestLabel} is not a sha256 digest`;
  try {
    parseReference(reference);
  } catch (error) {
    return `label ${referenceLabel}: ${(error as Error).message}`;
  }
  // The list is truncated to fit a label, so its last entry may be incomplete.
  const siblings = (labels[layersLabel] ?? '').split(',').filter(isDigest);
  return { reference, digest, siblings };
}

function readHotRangesAbove(labels: Labels, digest: Digest, siblings: readonly Digest[]): ReadonlyMap<Digest, string> {
  const own = siblings.indexOf(digest);
  return new Map(
    siblings.flatMap((sibling, index) => {
      const list = own === -1 || index <= own ? undefined : labels[`${HOT_RANGES_ABOVE_LABEL}${index - own}`];
      return list === undefined ? [] : [[sibling, list] as const];
    }),
  );
}
