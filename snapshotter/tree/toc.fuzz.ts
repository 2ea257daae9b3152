import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { buildInodeTable } from './build.ts';
import { checkTable } from './testing/check-table.ts';
import { chunk, dir, encodeToc, file } from './testing/toc-json.ts';

const payloadEnd = 100_000;

export const targets: readonly FuzzTarget[] = [
  {
    name: 'toc',
    seeds: [
      encodeToc([dir('a/'), file('a/b', 5, 10), { name: 'c', type: 'hardlink', linkName: 'a/b' }]),
      encodeToc([
        file('big', 100, 10, { chunkSize: 40 }),
        chunk('big', 50, 40, 60),
        { name: 'l', type: 'symlink', linkName: 'a' },
      ]),
      encodeToc([
        dir('d', {
          xattrs: { 'user.x': 'eA==', 'security.capability': 'AQAAAgAgAAA=' },
          uid: 7,
          modtime: '2024-01-02T03:04:05.5Z',
        }),
        { name: '.wh.gone', type: 'reg' },
        { name: 'd/.wh..wh..opq', type: 'reg' },
        { name: 'n', type: 'char', devMajor: 1, devMinor: 3 },
        { name: '.prefetch.landmark', type: 'reg', size: 1, offset: 90 },
      ]),
      encodeToc([file('a', 1, 5), dir('a'), file('a/b/c', 3, 20, { innerOffset: 4 }), { name: 'x', type: 'fifo' }]),
    ],
    dictionary: [
      '"name":"',
      '"type":"chunk"',
      '"type":"hardlink"',
      '"linkName":"',
      '"size":',
      '"offset":',
      '"innerOffset":',
      '"chunkOffset":',
      '"chunkSize":',
      '"chunkType":"zeros"',
      '"xattrs":{',
      '"mode":',
      '"modtime":"',
      '"digest":"sha256:',
      '../',
      '.wh.',
      '.wh..wh..opq',
      '\\u0000',
      '\\ud800',
      '{',
      '}',
      '[',
      ']',
      'null',
      '1e400',
      '-0',
    ],
    run(input) {
      const compression = input.length % 2 === 0 ? 'gzip' : 'zstd';
      refusing(['FormatError'], () => {
        const { table } = buildInodeTable(input, { payloadEnd, opaqueXattr: 'trusted', compression });
        checkTable(table, payloadEnd);
      });
    },
  },
];
