import assert from 'node:assert/strict';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { encodeFile, endOfArchive } from './tar-header.ts';
import { scanTar } from './tar.ts';
import { parsePaxInteger, parsePaxRecords, parsePaxTime } from './tar-fields.ts';

const blockBytes = 512;
const paxRecords = Buffer.from(
  '30 mtime=1700000000.123456789\n20 path=a/long/name\n31 SCHILY.xattr.user.x=binary\0ab\n22 GNU.sparse.offset=0\n26 GNU.sparse.numbytes=512\n',
  'latin1',
);

export const targets: readonly FuzzTarget[] = [
  {
    name: 'tar',
    seeds: [
      Buffer.concat([encodeFile('a', Buffer.from('hello')), encodeFile('dir/b', Buffer.alloc(700, 1)), endOfArchive]),
      Buffer.concat([withType(encodeFile('pax', paxRecords), 'x'), encodeFile('c', Buffer.alloc(10)), endOfArchive]),
      Buffer.concat([
        withType(encodeFile('././@LongLink', Buffer.from(`${'n'.repeat(300)}\0`)), 'L'),
        encodeFile('d', Buffer.alloc(0)),
      ]),
      Buffer.concat([
        withType(encodeFile('link', Buffer.alloc(0)), '2'),
        withType(encodeFile('sparse', Buffer.alloc(512)), 'S'),
      ]),
    ],
    dictionary: [
      'GNU.sparse.major=1',
      'GNU.sparse.map=0,512',
      'GNU.sparse.realsize=9',
      'SCHILY.xattr.',
      'path=',
      'linkpath=',
      'size=',
      '.wh.',
      '\0',
    ],
    repair: repairChecksums,
    run(input) {
      refusing(['TarError'], () => {
        let end = 0;
        const readAt = (offset: number, length: number): Buffer => {
          assert.ok(offset >= 0 && length >= 0 && offset + length <= input.length, `reads [${offset}, +${length})`);
          return input.subarray(offset, offset + length);
        };
        for (const entry of scanTar(readAt, input.length)) {
          assert.ok(entry.headerOffset >= end, 'entries overlap');
          end = entry.headerOffset + blockBytes;
        }
      });
    },
  },
  {
    name: 'pax',
    seeds: [paxRecords, Buffer.from('11 size=12\n')],
    dictionary: ['GNU.sparse.numbytes=', 'mtime=-1.5', '=', '\n', ' '],
    run(input) {
      refusing(['TarError'], () => {
        for (const [key, value] of parsePaxRecords(input)) {
          assert.ok(key.length > 0 && !key.includes('='));
          refusing(['TarError'], () => void parsePaxTime(value));
          refusing(['TarError'], () => void parsePaxInteger(value));
        }
      });
    },
  },
];

function withType(file: Buffer, type: string): Buffer {
  file.write(type, 156, 'latin1');
  return repairChecksums(file);
}

/** Repairs every block that looks like a header; changing file content is harmless. */
function repairChecksums(input: Buffer): Buffer {
  const tar = Buffer.from(input);
  for (let at = 0; at + blockBytes <= tar.length; at += blockBytes) {
    const block = tar.subarray(at, at + blockBytes);
    if (!block.includes('ustar')) continue;
    block.fill(0x20, 148, 156);
    let sum = 0;
    for (const byte of block) sum += byte;
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return tar;
}
