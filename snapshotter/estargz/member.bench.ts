import { hash } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { Bench } from 'tinybench';
import { inflateMember, isChunkIntact } from './member.ts';

/** Inflating and verifying a chunk of text that compresses about as well as program files do. */
export function register(bench: Bench): void {
  for (const sizeBytes of [4 << 10, 64 << 10, 4 << 20]) {
    const content = generateContent(sizeBytes);
    const digest = hash('sha256', content, 'buffer');
    const padded = Buffer.concat([content, Buffer.alloc(1024)]);
    const members = { gzip: gzipSync(padded), zstd: zstdCompressSync(padded) } as const;
    for (const kind of ['gzip', 'zstd'] as const) {
      const label = `${kind} chunk of ${sizeBytes >> 10} KiB`;
      bench.add(`inflate + verify, ${label}`, () => {
        if (!isChunkIntact(inflateMember(members[kind], kind, sizeBytes), digest)) throw new Error(label);
      });
    }
  }
}

/** Words from a generator with a fixed seed, a tenth of them noise: about 3:1 with gzip. */
function generateContent(sizeBytes: number): Buffer {
  const content = Buffer.alloc(sizeBytes);
  let state = 42;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
  for (let at = 0; at < sizeBytes; ) {
    const word = next() % 10 === 0 ? next().toString(36) : `word${next() % 500}_`;
    at += content.write(word, at, 'latin1');
  }
  return content;
}
