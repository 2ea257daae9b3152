import { gzipSync } from 'node:zlib';
import { encodeFooter } from '../estargz/footer.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { tarHeader, tarPadding } from './tar.ts';

export interface RehearsedLayer {
  readonly digest: Digest;
  readonly blob: Buffer;
  readonly tocDigest: Digest;
}

const filesPerDirectory = 12;
const modtime = '2024-01-01T00:00:00Z';

/**
 * An eStargz layer of `fileCount` small files before its `landmark`. Its names, types and attributes
 * vary as a distribution's do, so that the code that reads them meets the same branches.
 */
export function makeRehearsedLayer(seed: number, fileCount: number, landmark: string): RehearsedLayer {
  const entries: object[] = [];
  const members: Buffer[] = [];
  let offset = 0;
  const addMember = ({ member }: Content): number => {
    members.push(member);
    offset += member.length;
    return offset - member.length;
  };
  // As in every layer, what comes first are the first tar headers: no content lies at offset 0.
  addMember(compress(Buffer.alloc(512)));
  const contents = [0, 1, 2, 3].map((index) =>
    compress(Buffer.alloc(3000 + 911 * index, `rehearsal ${seed} ${index}\n`)),
  );
  const top = `usr/lib/rehearsal-${seed}`;
  // Every directory has an entry, as most images have them.
  for (const name of ['usr/', 'usr/lib/', `${top}/`]) entries.push({ name, type: 'dir', modtime, mode: 0o755 });
  for (let file = 0; file < fileCount; file++) {
    const directory = `${top}/package_${Math.floor(file / filesPerDirectory)}`;
    if (file % filesPerDirectory === 0) entries.push({ name: `${directory}/`, type: 'dir', modtime, mode: 0o755 });
    if (file % 9 === 8) {
      entries.push({
        name: `${directory}/link_${file}`,
        type: 'symlink',
        linkName: `file_${file - 1}`,
        modtime,
        mode: 0o777,
      });
      continue;
    }
    const content = contents[file % contents.length]!;
    const xattrs = file % 50 === 0 ? { xattrs: { 'user.rehearsal': 'AQ==' } } : {};
    entries.push({
      name: `${directory}/file_${file}`,
      type: 'reg',
      size: content.sizeBytes,
      modtime,
      mode: file % 5 === 0 ? 0o755 : 0o644,
      ...(file % 7 === 0 ? { uid: 1000, gid: 1000 } : {}),
      offset: addMember(content),
      digest: content.digest,
      chunkDigest: content.digest,
      ...xattrs,
    });
  }
  const mark = compress(Buffer.from([0x0f]));
  entries.push({
    name: landmark,
    type: 'reg',
    size: 1,
    modtime,
    mode: 0o644,
    offset: addMember(mark),
    digest: mark.digest,
    chunkDigest: mark.digest,
  });
  const json = Buffer.from(JSON.stringify({ version: 1, entries }, null, '\t'));
  const toc = gzipSync(Buffer.concat([tarHeader('stargz.index.json', json.length), json, tarPadding(json.length)]), {
    level: 1,
  });
  const blob = Buffer.concat([...members, toc, encodeFooter('estargz', offset)]);
  return { digest: digestOf(blob), blob, tocDigest: digestOf(json) };
}

interface Content {
  readonly member: Buffer;
  readonly sizeBytes: number;
  readonly digest: Digest;
}

function compress(content: Buffer): Content {
  return { member: gzipSync(content, { level: 1 }), sizeBytes: content.length, digest: digestOf(content) };
}
