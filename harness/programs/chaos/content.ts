import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { seededRandom } from '../../../measurements/stats/random.ts';

/** The files of an image that chaos reads, from its number alone: whoever reads knows what must come. */
export interface KnownFile {
  /** From the root of the layer. */
  readonly path: string;
  readonly content: Buffer;
}

const fileCount = 160;
const minFileBytes = 2_000;
const maxFileBytes = 120_000;

/** Incompressible, so that no run of zeros is right anywhere. */
export function filesOf(image: number): readonly KnownFile[] {
  return Array.from({ length: fileCount }, (_, index) => {
    const random = seededRandom(image * fileCount + index);
    const sizeBytes = minFileBytes + (random() % (maxFileBytes - minFileBytes));
    const words = Uint32Array.from({ length: Math.ceil(sizeBytes / 4) }, random);
    return { path: `d${index % 7}/f${index}`, content: Buffer.from(words.buffer, 0, sizeBytes) };
  });
}

export function writeFilesOf(image: number, root: string): void {
  for (const { path, content } of filesOf(image)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
}
