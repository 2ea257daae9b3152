/** Files at a layer's root that belong to the format: hidden in a mount, replaced by a conversion. */
export const PREFETCH_LANDMARK = '.prefetch.landmark';
export const NO_PREFETCH_LANDMARK = '.no.prefetch.landmark';
export const TOC_NAME = 'stargz.index.json';

/** Digest of the TOC's raw JSON: an annotation of the descriptor, which containerd passes on as a snapshot label. */
export const TOC_DIGEST_LABEL = 'containerd.io/snapshot/stargz/toc.digest';
