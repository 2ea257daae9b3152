import assert from 'node:assert/strict';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { type Compression, inflateMember } from './member.ts';
import { TocReader } from './toc.ts';

const content = Buffer.from('content of a member '.repeat(50));
const sizeBytes = 1000;

export const targets: readonly FuzzTarget[] = [
  memberTarget('member-gzip', 'gzip', [gzipSync(content), gzipSync(Buffer.alloc(50_000))]),
  memberTarget('member-zstd', 'zstd', [zstdCompressSync(content), zstdCompressSync(Buffer.alloc(50_000))]),
  tocTarget('toc-member-gzip', 'gzip', [gzipSync(content)]),
  tocTarget('toc-member-zstd', 'zstd', [zstdCompressSync(content)]),
];

function memberTarget(name: string, compression: Compression, seeds: readonly Buffer[]): FuzzTarget {
  return {
    name,
    seeds,
    run(input) {
      for (const toEnd of [false, true])
        refusing(['FormatError'], () => {
          assert.equal(inflateMember(input, compression, sizeBytes, { toEnd }).length, sizeBytes);
        });
    },
  };
}

function tocTarget(name: string, compression: Compression, seeds: readonly Buffer[]): FuzzTarget {
  return {
    name,
    seeds,
    run(input) {
      const tocEnd = 100 + input.length;
      const kind = compression === 'gzip' ? 'estargz' : 'zstd-chunked';
      const footer = {
        kind,
        compression,
        payloadEnd: 100,
        tocOffset: 100,
        tocEnd,
        tocRawSizeBytes: content.length,
      } as const;
      refusing(['FormatError'], () => {
        const reader = new TocReader(input, footer);
        const into = new Uint8Array(4096);
        for (let at = 0; at < Math.min(reader.sizeBytes, 1 << 20); ) {
          const length = reader.read(into, at);
          if (length === 0) break;
          at += length;
        }
        reader.digest();
      });
    },
  };
}
