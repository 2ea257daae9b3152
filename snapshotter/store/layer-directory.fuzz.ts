import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { sealJson } from '../platform/sealed-json.ts';
import { type Digest, digestHex } from '../registry/digest.ts';
import { type LayerMeta, layerDirectory, readLayerDirectory } from './layer-directory.ts';
import { readPresence } from './presence-file.ts';

const chunkCount = 100;
const digest = `sha256:${'ab'.repeat(32)}` as Digest;
const meta: LayerMeta = {
  version: 2,
  digest,
  reference: 'registry.test/image:1',
  blobSizeBytes: 1000,
  footer: {
    kind: 'zstd-chunked',
    compression: 'zstd',
    payloadEnd: 500,
    tocOffset: 510,
    tocEnd: 520,
    tocRawSizeBytes: 100,
  },
  tocDigest: digest,
  dataSizeBytes: 8192,
};

const root = mkdtempSync(join(tmpdir(), 'fuzz-store-'));
const directory = layerDirectory(root, digest);
mkdirSync(directory);
writeFileSync(join(directory, 'toc'), Buffer.alloc(10));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));

export const targets: readonly FuzzTarget[] = [
  {
    name: 'presence-bitmap',
    seeds: [bitmap(chunkCount), bitmap(chunkCount - 1), Buffer.alloc(48)],
    dictionary: ['sgzbits1'],
    run(input) {
      writeFileSync(join(directory, 'bitmap'), input);
      const words = readPresence(directory, chunkCount);
      assert.equal(words.length, 4);
      const isTaken =
        input.length >= 48 && input.toString('latin1', 0, 8) === 'sgzbits1' && input.readUInt32LE(24) === chunkCount;
      for (let chunk = 0; chunk < 128; chunk++) {
        const isSet = isTaken && chunk < chunkCount && ((input[32 + (chunk >>> 3)]! >>> (chunk & 7)) & 1) === 1;
        assert.equal(((words[chunk >>> 5]! >>> (chunk & 31)) & 1) === 1, isSet, `chunk ${chunk}`);
      }
    },
  },
  {
    name: 'layer-meta',
    seeds: [Buffer.from(sealJson(meta)), Buffer.from(JSON.stringify({ ...meta, version: 1 }))],
    dictionary: ['"version":1', '"version":2', 'null', '[]', '{}', '-1', '"gzip"', '__proto__'],
    repair: (input) => {
      const json = input.toString('latin1').split('\t')[0]!;
      try {
        return Buffer.from(sealJson(JSON.parse(json)));
      } catch {
        return input;
      }
    },
    run(input) {
      writeFileSync(join(directory, 'meta.json'), input);
      refusing(['StoreError'], () => {
        const { meta: read, toc } = readLayerDirectory(root, digest);
        assert.equal(digestHex(read.digest), digestHex(digest));
        const { payloadEnd, tocOffset, tocEnd } = read.footer;
        assert.ok(payloadEnd <= tocOffset && tocOffset < tocEnd && tocEnd <= read.blobSizeBytes);
        assert.ok(Number.isSafeInteger(read.dataSizeBytes) && read.dataSizeBytes >= 0);
        assert.equal(toc.length, tocEnd - tocOffset);
      });
    },
  },
];

function bitmap(count: number): Buffer {
  const bytes = Buffer.alloc(48, 0xff);
  bytes.fill(0, 8, 32);
  bytes.write('sgzbits1', 'latin1');
  bytes.writeUInt32LE(count, 24);
  return bytes;
}
