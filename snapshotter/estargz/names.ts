/** Files at a layer's root that belong to the format: a mount does not show them, a conversion writes its own. */
export const PREFETCH_LANDMARK = '.prefetch.landmark';
export const NO_PREFETCH_LANDMARK = '.no.prefetch.landmark';
export const TOC_NAME = 'stargz.index.json';

/** Digest of the TOC's raw JSON: an annotation of the layer's descriptor, which containerd makes a label of its snapshot. */
export const TOC_DIGEST_LABEL = 'containerd.io/snapshot/stargz/toc.digest';
