import { type ByteSource, scanTocInSteps, type TocEntry } from '../toc.ts';

/** Runs all steps of a scan synchronously. */
export function scanToc(json: Uint8Array | ByteSource, visit: (entry: TocEntry) => void): void {
  for (const _ of scanTocInSteps(json, visit));
}
