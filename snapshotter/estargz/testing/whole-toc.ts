import { type ByteSource, scanTocInSteps, type TocEntry } from '../toc.ts';

/** All steps of a scan without a pause. */
export function scanToc(json: Uint8Array | ByteSource, visit: (entry: TocEntry) => void): void {
  for (const _ of scanTocInSteps(json, visit));
}
