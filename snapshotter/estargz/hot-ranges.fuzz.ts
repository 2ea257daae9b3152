import assert from 'node:assert/strict';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { encodeHotRanges, parseHotRanges } from './hot-ranges.ts';

const tocDigest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const layer = { tocDigest, payloadEnd: 1_000_000 };
const limitUnits = Math.ceil(layer.payloadEnd / 512);

export const targets: readonly FuzzTarget[] = [
  {
    name: 'hot-ranges',
    seeds: [
      [],
      [{ start: 0, end: limitUnits, rank: 7 }],
      [
        { start: 900, end: 901, rank: 0 },
        { start: 3, end: 500, rank: 1000 },
      ],
    ].map((ranges) => Buffer.from(encodeHotRanges(ranges, tocDigest), 'base64')),
    /** The label's bytes rather than its base64, so that mutations reach the varints. */
    repair: (input) => Buffer.concat([Buffer.from('0101234567', 'hex'), input.subarray(5)]),
    run(input) {
      for (const text of [input.toString('base64').replace(/=+$/, ''), input.toString('latin1')]) {
        refusing(['FormatError'], () => {
          const ranges = parseHotRanges(text, layer);
          const sorted = ranges.toSorted((a, b) => a.start - b.start);
          for (const [index, { start, end, rank }] of sorted.entries()) {
            assert.ok(Number.isSafeInteger(rank) && rank >= 0);
            assert.ok(start >= (sorted[index - 1]?.end ?? 0) && start < end && end <= limitUnits);
          }
          assert.deepEqual(parseHotRanges(encodeHotRanges(ranges, tocDigest), layer), ranges);
        });
      }
    },
  },
];
