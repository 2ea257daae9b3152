import { performance } from 'node:perf_hooks';
import { FormatError } from '../estargz/error.ts';
import { FOOTER_MAX, type Footer, parseFooter } from '../estargz/footer.ts';
import { type BlobSource, distrustOnce } from '../registry/blob-source.ts';
import type { Digest } from '../registry/digest.ts';
import type { LinkEstimate } from '../store/link-estimate.ts';
import { LayerError } from './error.ts';
import type { LayerRequest } from './layer-request.ts';
import type { LayerMemory } from '../builder/tree-memory.ts';

/** Footer and TOC of a layer. */
export interface LayerFacts {
  /** Has already followed the registry's redirect. */
  readonly source: BlobSource;
  readonly footer: Footer;
  readonly blobSizeBytes: number;
  /** Compressed: [footer.tocOffset, footer.tocEnd) of the blob. */
  readonly toc: Buffer;
  /** Account for the TOC's bytes; closed when they are dropped. */
  readonly memory: LayerMemory;
  /** Servers that it came from; for `source.distrust`. */
  readonly servers: ReadonlySet<string>;
}

/** For all suffixes of an image, which share the link: 320 KiB take 13 ms at 200 Mbit/s, less than a round trip. */
const imageSuffixBytes = 320 * 1024;
/** The TOC of some 250 files. */
const minSuffixBytes = 16 * 1024;
const maxSuffixBytes = 256 * 1024;
/** For a promised size: memory that a wrong promise may cost for each of the layers that are resolved at once. */
const maxPromisedBytes = 4 << 20;
const maxTocBytes = 256 * 1024 * 1024;

/**
 * Size of the first request for a layer of the request's image: what the image promises, or a share of a guess for all of its
 * layers. A larger TOC needs a second request.
 */
export function suffixBytesFor({ digest, siblings, tocSizes = [] }: LayerRequest, layer: Digest): number {
  const promised = tocSizes[siblings.indexOf(layer) - siblings.indexOf(digest)];
  if (promised !== undefined) return Math.min(Math.max(promised, FOOTER_MAX), maxPromisedBytes);
  const layerCount = Math.max(1, siblings.length);
  return Math.min(Math.max(Math.floor(imageSuffixBytes / layerCount), minSuffixBytes), maxSuffixBytes);
}

/**
 * Fetches a layer's footer and TOC with one or two requests. `isLazy`: the image promises a TOC, so a server whose blob has
 * none gave wrong bytes. Throws LayerError 'not-lazy' after one request for an ordinary layer, 'limit' if the TOC is too
 * large, FormatError for an impossible footer, RegistryError.
 */
export async function resolveLayer(
  source: BlobSource,
  suffixBytes: number,
  link: LinkEstimate,
  isLazy: boolean,
  memory: LayerMemory,
  signal: AbortSignal,
): Promise<LayerFacts> {
  const blamed = new Set<string>();
  for (;;) {
    const servers = new Set<string>();
    try {
      return await readFacts(source, suffixBytes, link, servers, memory, signal);
    } catch (error) {
      const isWrong = isWrongFormat(error) || (isLazy && error instanceof LayerError && error.reason === 'not-lazy');
      if (!isWrong || !distrustOnce(source, servers, blamed)) throw error;
    }
  }
}

/** Whether a server may be at fault; limits and unsupported features are the layer's own. */
export function isWrongFormat(error: unknown): boolean {
  return error instanceof FormatError && error.code !== 'limit' && error.code !== 'unsupported';
}

/** Adds the servers that responded to `servers`, also if it throws. */
async function readFacts(
  source: BlobSource,
  suffixBytes: number,
  link: LinkEstimate,
  servers: Set<string>,
  memory: LayerMemory,
  signal: AbortSignal,
): Promise<LayerFacts> {
  const sentMs = performance.now();
  const suffix = await source.fetchSuffix(suffixBytes, signal);
  const totalMs = performance.now() - sentMs;
  link.observe({ firstByteMs: totalMs, totalMs, sizeBytes: 0 });
  const { blobSizeBytes } = suffix;
  for (const server of suffix.servers) servers.add(server);
  const footer = parseFooter(suffix.bytes.subarray(-FOOTER_MAX), blobSizeBytes);
  if (footer === undefined)
    throw new LayerError('not-lazy', source.digest, 'an ordinary layer, without a stargz footer');
  if (footer.kind === 'external') {
    throw new LayerError('not-lazy', source.digest, 'its TOC is a separate blob, which is not read lazily here');
  }
  const tocBytes = footer.tocEnd - footer.tocOffset;
  if (tocBytes > maxTocBytes) {
    throw new LayerError('limit', source.digest, `a compressed TOC of ${tocBytes} bytes; the limit is ${maxTocBytes}`);
  }
  memory.take(tocBytes);
  const missingBytes = suffix.offset - footer.tocOffset;
  const tail = suffix.bytes.subarray(Math.max(0, -missingBytes), footer.tocEnd - suffix.offset);
  // Copied, so that it does not keep the rest of the suffix alive.
  if (missingBytes <= 0) return { source, footer, blobSizeBytes, toc: Buffer.from(tail), memory, servers };
  const toc = Buffer.allocUnsafeSlow(tocBytes);
  tail.copy(toc, missingBytes);
  await fetchInto(source, footer.tocOffset, toc.subarray(0, missingBytes), servers, link, signal);
  return { source, footer, blobSizeBytes, toc, memory, servers };
}

async function fetchInto(
  source: BlobSource,
  offset: number,
  into: Buffer,
  servers: Set<string>,
  link: LinkEstimate,
  signal: AbortSignal,
): Promise<void> {
  const sentMs = performance.now();
  let firstByteMs: number | undefined;
  let at = 0;
  for await (const bytes of source.fetchRange(offset, offset + into.length, signal, (server) => servers.add(server))) {
    firstByteMs ??= performance.now() - sentMs;
    at += bytes.copy(into, at);
  }
  if (at < into.length)
    throw new LayerError('unreachable', source.digest, `the registry sent ${at} of ${into.length} TOC bytes`);
  link.observe({ firstByteMs: firstByteMs ?? 0, totalMs: performance.now() - sentMs, sizeBytes: at });
}
