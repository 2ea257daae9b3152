import { performance } from 'node:perf_hooks';
import { FormatError } from '../estargz/error.ts';
import { FOOTER_MAX, type Footer, parseFooter } from '../estargz/footer.ts';
import { type BlobSource, distrustOnce } from '../registry/blob-source.ts';
import type { LinkEstimate } from '../store/link-estimate.ts';
import { LayerError } from './error.ts';
import type { LayerMemory } from './tree-memory.ts';

/** What a layer's blob says of itself. */
export interface LayerFacts {
  /** Knows by now where the registry sends whoever asks for the blob. */
  readonly source: BlobSource;
  readonly footer: Footer;
  readonly blobSizeBytes: number;
  /** Compressed: [footer.tocOffset, footer.tocEnd) of the blob. */
  readonly toc: Buffer;
  /** What the TOC takes, until it is dropped. */
  readonly memory: LayerMemory;
  /** Who gave it; for `source.distrust`. */
  readonly servers: ReadonlySet<string>;
}

/** All suffixes of an image together: they share the link, so 320 KiB cost 13 ms at 200 Mbit/s, less than a round trip. */
const imageSuffixBytes = 320 * 1024;
/** The TOC of some 250 files. */
const leastSuffixBytes = 16 * 1024;
const mostSuffixBytes = 256 * 1024;
const mostTocBytes = 256 * 1024 * 1024;

/** The first request's size for each of `layerCount` layers that are resolved together. Most TOCs fit; the rest need a second. */
export function suffixBytesFor(layerCount: number): number {
  return Math.min(Math.max(Math.floor(imageSuffixBytes / layerCount), leastSuffixBytes), mostSuffixBytes);
}

/**
 * Footer and TOC of a layer, with one request or two. `isLazy`: the image says that the layer has a TOC, so that a server
 * which gives none gives wrong bytes. Throws LayerError 'not-lazy' after one request for an ordinary layer, 'limit' for a
 * TOC too large, FormatError for a footer that lies, RegistryError as the registry does.
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

/** Bytes that make no sense may be a server's fault; what is too large or not supported is the layer's. */
export function isWrongFormat(error: unknown): boolean {
  return error instanceof FormatError && error.code !== 'limit' && error.code !== 'unsupported';
}

/** Notes who gave the bytes in `servers`, also where it throws. */
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
  if (tocBytes > mostTocBytes) {
    throw new LayerError(
      'limit',
      source.digest,
      `a compressed TOC of ${tocBytes} bytes; at most ${mostTocBytes} are taken`,
    );
  }
  memory.take(tocBytes);
  const missingBytes = suffix.offset - footer.tocOffset;
  const tail = suffix.bytes.subarray(Math.max(0, -missingBytes), footer.tocEnd - suffix.offset);
  // A copy: what was fetched besides the TOC is not kept alive by it.
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
