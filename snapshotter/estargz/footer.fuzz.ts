import assert from 'node:assert/strict';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { encodeFooter, FOOTER_MAX, type Footer, parseFooter } from './footer.ts';

const blobSizeBytes = 1_000_000;
const sizes = { compressedSizeBytes: 100, rawSizeBytes: 500 };

export const targets: readonly FuzzTarget[] = [
  {
    name: 'footer',
    seeds: [
      encodeFooter('estargz', 4711),
      encodeFooter('stargz', 4711),
      encodeFooter('external'),
      encodeFooter('zstd-chunked', 4711, sizes),
    ],
    dictionary: ['STARGZ', 'STARGZEXTERNALTOC', 'GnUlInUx', 'GNUlInUx', '0000000000001267'],
    run(input) {
      const tail = input.subarray(-FOOTER_MAX);
      refusing(['FormatError'], () => {
        const footer = parseFooter(tail, blobSizeBytes);
        if (footer === undefined) return;
        const { payloadEnd, tocOffset, tocEnd, tocRawSizeBytes = 0 } = footer;
        assert.ok([payloadEnd, tocOffset, tocEnd, tocRawSizeBytes].every((n) => Number.isSafeInteger(n) && n >= 0));
        assert.deepEqual(
          parseFooter(encodeAgain(footer), blobSizeBytes),
          footer,
          'encoding the parsed footer gives another footer',
        );
        if (footer.kind === 'external') return;
        assert.ok(payloadEnd <= tocOffset && tocOffset < tocEnd && tocEnd <= blobSizeBytes, JSON.stringify(footer));
      });
    },
  },
];

function encodeAgain({ kind, tocOffset, tocEnd, tocRawSizeBytes }: Footer): Buffer {
  if (kind === 'external') return encodeFooter(kind);
  if (kind !== 'zstd-chunked') return encodeFooter(kind, tocOffset);
  return encodeFooter(kind, tocOffset, { compressedSizeBytes: tocEnd - tocOffset, rawSizeBytes: tocRawSizeBytes! });
}
