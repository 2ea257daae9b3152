/** Files at a layer's root that belong to the format: mounts hide them, and a conversion replaces them. */
export const PREFETCH_LANDMARK = '.prefetch.landmark';
export const NO_PREFETCH_LANDMARK = '.no.prefetch.landmark';
export const TOC_NAME = 'stargz.index.json';

/** Digest of the TOC's raw JSON: an annotation of the layer's descriptor, passed on by containerd as a snapshot label. */
export const TOC_DIGEST_LABEL = 'containerd.io/snapshot/stargz/toc.digest';

/** What to prefetch of the layer (hot-ranges.ts): an annotation and a label, likewise. */
export const HOT_RANGES_LABEL = 'containerd.io/snapshot/stargz/hot-ranges';

/** On an image's lowest layer, followed by N: the same of the N-th layer above it, whose own label comes with a later request. */
export const HOT_RANGES_ABOVE_LABEL = `${HOT_RANGES_LABEL}.`;

/** Sizes of the TOCs of the layer and those above it (toc-sizes.ts): likewise. */
export const TOC_SIZES_LABEL = 'containerd.io/snapshot/stargz/toc-sizes';

/** Digest of the layer's packed TOC (packed-toc.ts), for readers that take it in place of the TOC: likewise. */
export const PACKED_TOC_LABEL = 'containerd.io/snapshot/stargz/packed-toc.digest';

/** Bytes of the packed TOCs of the layer and those above it, 0 where there is none: likewise. */
export const PACKED_TOC_SIZES_LABEL = 'containerd.io/snapshot/stargz/packed-toc-sizes';
