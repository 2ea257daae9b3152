import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from 'tinybench';
import { layerFormats } from './format.ts';
import { convertLayer } from './layer.ts';
import { scanTar } from '../tar/tar.ts';
import { encodeFile, endOfArchive } from '../tar/tar-header.ts';

const fileCount = 2_000;

/** Scanning a tar's headers, and a whole layer of small files from tar to blob in each format. */
export function register(bench: Bench): void {
  const tar = sampleTar();
  bench.add(`tar scan, ${fileCount / 1000}k entries`, () => {
    let count = 0;
    for (const _ of scanTar((offset, length) => tar.subarray(offset, offset + length), tar.length)) count++;
    if (count !== fileCount) throw new RangeError(`${count} entries`);
  });
  for (const format of layerFormats) {
    let workDir = '';
    bench.add(
      `convert to ${format}, ${fileCount / 1000}k files, ${Math.round(tar.length / 1e6)} MB`,
      async () => {
        const source = async function* (): AsyncGenerator<Buffer> {
          yield tar;
        };
        rmSync((await convertLayer(source, { format, workDir })).path);
      },
      {
        beforeAll: () => {
          workDir = mkdtempSync(join(tmpdir(), 'convert-bench-'));
        },
        afterAll: () => rmSync(workDir, { recursive: true, force: true }),
      },
    );
  }
}

/** Files of about 6 KB of numbers as text, which deflate to a third as program text does. */
function sampleTar(): Buffer {
  let state = 1;
  const next = (): number => {
    state = (state * 48_271) % 0x7fffffff;
    return state;
  };
  const files = Array.from({ length: fileCount }, (_, index) => {
    const lines = Array.from({ length: 300 }, () => `value ${next() % 100_000} = ${next() % 100}`);
    return encodeFile(`usr/share/sample/${index}`, Buffer.from(lines.join('\n')));
  });
  return Buffer.concat([...files, endOfArchive]);
}
