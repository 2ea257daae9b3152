import assert from 'node:assert/strict';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { digestOf, isDigest } from '../registry/digest.ts';
import { encodeAccessProfile, parseAccessProfile } from './access-profile.ts';
import { encodeHotRanges, maxListLength, parseHotRanges } from './hot-ranges.ts';

const tocDigest = digestOf('a TOC');
const layer = { tocDigest, payloadEnd: 1_000_000 };

export const targets: readonly FuzzTarget[] = [
  {
    name: 'access-profile',
    seeds: [
      new Map(),
      new Map([
        [digestOf('lower'), encodeHotRanges([{ start: 3, end: 500, rank: 1 }], tocDigest)],
        [digestOf('upper'), encodeHotRanges([], tocDigest)],
      ]),
    ].map(encodeAccessProfile),
    run(input) {
      refusing(['FormatError'], () => {
        const profile = parseAccessProfile(input);
        for (const [digest, list] of profile) {
          assert.ok(isDigest(digest) && list.length <= maxListLength);
          refusing(['FormatError'], () => parseHotRanges(list, layer));
        }
        assert.deepEqual(parseAccessProfile(encodeAccessProfile(profile)), profile);
      });
    },
  },
];
