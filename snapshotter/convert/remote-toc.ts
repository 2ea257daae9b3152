/** Reads the TOC of a layer in a registry, written by any tool. */
import { FormatError } from '../estargz/error.ts';
import { FOOTER_MAX, parseFooter } from '../estargz/footer.ts';
import { readWholeToc, scanTocInSteps } from '../estargz/toc.ts';
import type { ByteSlice } from '../estargz/json-scanner.ts';
import type { BlobSource } from '../registry/blob-source.ts';
import { digestOf } from '../registry/digest.ts';
import type { TocLine } from './blob-tree.ts';
import { ConvertError } from './error.ts';
import type { LayerToc } from './hot-list.ts';

/** Holds the TOC of most layers. */
const suffixBytes = 256 * 1024;
const maxTocBytes = 256 * 1024 * 1024;

/** Undefined for an ordinary layer. Throws ConvertError or RegistryError. */
export async function readRemoteToc(source: BlobSource, signal: AbortSignal): Promise<LayerToc | undefined> {
  const suffix = await source.fetchSuffix(suffixBytes, signal);
  try {
    const footer = parseFooter(suffix.bytes.subarray(-FOOTER_MAX), suffix.blobSizeBytes);
    if (footer === undefined || footer.kind === 'external') return undefined;
    const { tocOffset, tocEnd, payloadEnd } = footer;
    if (tocEnd - tocOffset > maxTocBytes) throw new FormatError('limit', `its TOC has ${tocEnd - tocOffset} bytes`);
    const pieces: Buffer[] = [];
    if (tocOffset < suffix.offset) {
      for await (const piece of source.fetchRange(tocOffset, suffix.offset, signal)) pieces.push(Buffer.from(piece));
    }
    pieces.push(suffix.bytes.subarray(Math.max(0, tocOffset - suffix.offset), tocEnd - suffix.offset));
    const json = readWholeToc(Buffer.concat(pieces), footer);
    return { tocDigest: digestOf(json), entries: readEntries(json), payloadEnd };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new ConvertError(
      'unsupported-layer',
      `cannot read layer ${source.digest}: ${error.message}; convert it again`,
    );
  }
}

/** Latin-1, one character per byte, as readBlobToc. */
function readEntries(json: Buffer): TocLine[] {
  const entries: TocLine[] = [];
  const text = ({ bytes, start, end }: ByteSlice): string => Buffer.from(bytes.subarray(start, end)).toString('latin1');
  const scan = scanTocInSteps(json, ({ type, name, linkName, offset, chunkOffset }) => {
    entries.push({ type, name: text(name), linkName: text(linkName), offset, chunkOffset });
  });
  while (scan.next().done !== true);
  return entries;
}
