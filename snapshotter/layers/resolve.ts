import { performance } from 'node:perf_hooks';
import { FormatError } from '../estargz/error.ts';
import { FOOTER_MAX, type Footer, parseFooter } from '../estargz/footer.ts';
import { isPackedToc, packedTocRange } from '../estargz/packed-toc.ts';
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
  /** Compressed: [footer.tocOffset, footer.tocEnd) of the blob; or its packed TOC. */
  readonly toc: Buffer;
  readonly isPacked: boolean;
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

/** The first request for a layer. */
export interface Suffix {
  readonly sizeBytes: number;
  /** That of the packed TOC before the footer, as the image promises it; 0 for none. */
  readonly packedTocBytes: number;
}

/**
 * What to ask for first of a layer of the request's image: what the image promises, or a share of a guess for all of its layers.
 * A larger TOC needs a second request.
 */
export function suffixFor(
  { digest, siblings, tocSizes = [], packedTocSizes = [] }: LayerRequest,
  layer: Digest,
): Suffix {
  const index = siblings.indexOf(layer) - siblings.indexOf(digest);
  const packedTocBytes = packedTocSizes[index] ?? 0;
  const promised = packedTocBytes > 0 ? packedTocBytes + FOOTER_MAX : tocSizes[index];
  if (promised !== undefined)
    return { sizeBytes: Math.min(Math.max(promised, FOOTER_MAX), maxPromisedBytes), packedTocBytes };
  const share = Math.floor(imageSuffixBytes / Math.max(1, siblings.length));
  return { sizeBytes: Math.min(Math.max(share, minSuffixBytes), maxSuffixBytes), packedTocBytes };
}

/**
 * Fetches a layer's footer and TOC with one or two requests. `isLazy`: the image promises a TOC, so a server whose blob has
 * none gave wrong bytes. Throws LayerError 'not-lazy' after one request for an ordinary layer, 'limit' if the TOC is too
 * large, FormatError for an impossible footer, RegistryError.
 */
export async function resolveLayer(
  source: BlobSource,
  suffix: Suffix,
  link: LinkEstimate,
  isLazy: boolean,
  memory: LayerMemory,
  signal: AbortSignal,
): Promise<LayerFacts> {
  const blamed = new Set<string>();
  for (;;) {
    const servers = new Set<string>();
    try {
      return await readFacts(source, suffix, link, servers, memory, signal);
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
  { sizeBytes, packedTocBytes }: Suffix,
  link: LinkEstimate,
  servers: Set<string>,
  memory: LayerMemory,
  signal: AbortSignal,
): Promise<LayerFacts> {
  const sentMs = performance.now();
  const suffix = await source.fetchSuffix(sizeBytes, signal);
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
  const read = async (start: number, end: number): Promise<Buffer> => {
    if (end - start > maxTocBytes) {
      const problem = `a compressed TOC of ${end - start} bytes; the limit is ${maxTocBytes}`;
      throw new LayerError('limit', source.digest, problem);
    }
    memory.take(end - start);
    const missingBytes = suffix.offset - start;
    const tail = suffix.bytes.subarray(Math.max(0, -missingBytes), end - suffix.offset);
    // Copied, so that it does not keep the rest of the suffix alive.
    if (missingBytes <= 0) return Buffer.from(tail);
    const bytes = Buffer.allocUnsafeSlow(end - start);
    tail.copy(bytes, missingBytes);
    await fetchInto(source, start, bytes.subarray(0, missingBytes), servers, link, signal);
    return bytes;
  };
  const facts = { source, footer, blobSizeBytes, memory, servers };
  const range = packedTocRange(footer, blobSizeBytes, packedTocBytes);
  if (range !== undefined) {
    const packed = await read(range.start, range.end);
    if (isPackedToc(packed, footer.compression)) return { ...facts, toc: packed, isPacked: true };
    memory.give(packed.length);
  }
  return { ...facts, toc: await read(footer.tocOffset, footer.tocEnd), isPacked: false };
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
