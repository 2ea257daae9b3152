import { gzipSync } from 'node:zlib';
import type { Footer } from '../estargz/footer.ts';
import { tarHeader, tarPadding } from './tar.ts';

export interface RehearsedToc {
  /** Compressed, as a layer has it. */
  readonly toc: Buffer;
  readonly footer: Footer;
}

const words = [
  'usr',
  'lib',
  'share',
  'x86_64-linux-gnu',
  'python3',
  'doc',
  'man',
  'de_DE',
  'a',
  '.hidden',
  'gcc',
  'site-packages',
];
const endings = ['', '.so.1.2.3', '.py', '.h', '.conf', '.mo', '-config', '.cpython-311-x86_64-linux-gnu.so'];
const deepest = 9;

/**
 * The TOC of a layer of `entryCount` entries, without the layer. Names, depths, types, sizes and times vary as those of a
 * distribution's package do: code that met only one kind of entry is compiled for that kind, and again for each that follows.
 */
export function makeRehearsedToc(seed: number, entryCount: number): RehearsedToc {
  let state = seed + 1;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % limit;
  };
  const pick = <Item>(items: readonly Item[]): Item => items[below(items.length)]!;
  const digest = (): string => `sha256:${Array.from({ length: 8 }, () => hex8(below(1 << 24) * 251)).join('')}`;
  const entries: object[] = [];
  const directories = [''];
  const files: string[] = [];
  let offset = 512;
  const attributes = (): object => ({
    modtime: new Date(below(1_790_000_000) * 1000).toISOString().replace('.000', ''),
    mode: pick([0o644, 0o644, 0o644, 0o755, 0o755, 0o4755, 0o2755]),
    ...(below(20) === 0 ? { uid: below(70_000), gid: below(1000) } : {}),
    ...(below(200) === 0 ? { xattrs: { 'security.capability': 'AQAAAgAgAAAAAAAAAAAAAAAAAAA=' } } : {}),
  });
  const addFile = (name: string): void => {
    files.push(name);
    const sizeBytes = below(12) === 0 ? 0 : below(pick([400, 4000, 40_000, 3_000_000]));
    const file = { name, type: 'reg', size: sizeBytes, ...attributes(), digest: digest() };
    if (sizeBytes === 0) return void entries.push({ ...file, size: undefined });
    const chunkBytes = sizeBytes > 100_000 && below(3) === 0 ? 1 + Math.floor(sizeBytes / 5) : sizeBytes;
    for (let at = 0; at < sizeBytes; at += chunkBytes) {
      const size = Math.min(chunkBytes, sizeBytes - at);
      const place = { offset, chunkDigest: digest(), ...(size < sizeBytes ? { chunkSize: size } : {}) };
      entries.push(at === 0 ? { ...file, ...place } : { name, type: 'chunk', ...place, chunkOffset: at });
      offset += 40 + Math.ceil(size / 3);
    }
  };
  const addOther = (name: string): void => {
    const kind = below(40);
    if (kind < 34)
      entries.push({ name, type: 'symlink', linkName: pick([name, `../${pick(words)}`, `/${name}`]), ...attributes() });
    else if (kind < 38 && files.length > 0)
      entries.push({ name, type: 'hardlink', linkName: pick(files), ...attributes() });
    else if (kind === 38)
      entries.push({ name, type: 'char', devMajor: below(200) + 1, devMinor: below(300), ...attributes() });
    else entries.push({ name, type: 'fifo', ...attributes() });
  };
  while (entries.length < entryCount) {
    const parent = pick(directories);
    const directory = `${parent}${pick(words)}-${directories.length}/`;
    if (directory.split('/').length < deepest) directories.push(directory);
    entries.push({ name: directory, type: 'dir', ...attributes() });
    for (let left = below(pick([4, 12, 60])); left > 0; left--) {
      const name = `${directory}${pick(words)}_${below(1 << 20)}_${left}${pick(endings)}`;
      if (below(8) === 0) addOther(name);
      else addFile(name);
    }
  }
  const json = Buffer.from(JSON.stringify({ version: 1, entries }, undefined, seed % 2 === 0 ? '\t' : undefined));
  const tar = Buffer.concat([tarHeader('stargz.index.json', json.length), json, tarPadding(json.length)]);
  const toc = gzipSync(tar, { level: 1 });
  const footer: Footer = {
    kind: 'estargz',
    compression: 'gzip',
    payloadEnd: offset,
    tocOffset: offset,
    tocEnd: offset + toc.length,
  };
  return { toc, footer };
}

function hex8(value: number): string {
  return value.toString(16).padStart(8, '0').slice(-8);
}
