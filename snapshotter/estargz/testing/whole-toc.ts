import type { Footer } from '../footer.ts';
import { type ByteSource, scanTocInSteps, type TocEntry, TocReader } from '../toc.ts';

/** The raw JSON of a TOC from `bytes`, [footer.tocOffset, footer.tocEnd) of the blob. */
export function readTocMember(bytes: Uint8Array, footer: Footer): Buffer {
  const reader = new TocReader(bytes, footer);
  const json = Buffer.allocUnsafeSlow(reader.sizeBytes);
  let at = 0;
  for (let count = reader.read(json, at); count > 0; count = reader.read(json, at)) at += count;
  return json;
}

/** All steps of a scan without a pause. */
export function scanToc(json: Uint8Array | ByteSource, visit: (entry: TocEntry) => void): void {
  for (const _ of scanTocInSteps(json, visit));
}
