import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../registry/digest.ts';
import { generateToc } from './toc.bench.ts';

test('a TOC of 100,000 entries costs less than 60 MB at its peak, compressed bytes to table', {
  timeout: 60_000,
}, () => {
  const json = generateToc(100_000);
  const directory = mkdtempSync(join(tmpdir(), 'toc-memory-'));
  try {
    const path = join(directory, 'toc.gz');
    writeFileSync(path, gzipSync(Buffer.concat([tarHeader(json.length), json]), { level: 1 }));
    const script = fileURLToPath(new URL('testing/measure-toc.ts', import.meta.url));
    const output = execFileSync(process.execPath, [script, path], { encoding: 'utf8', timeout: 50_000 });
    const measured = JSON.parse(output) as { peakGrowthBytes: number; inodeCount: number; digest: string };
    assert.equal(measured.digest, digestOf(json));
    assert.ok(measured.inodeCount > 100_000);
    assert.ok(measured.peakGrowthBytes < 60e6, output);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

function tarHeader(sizeBytes: number): Buffer {
  const block = Buffer.alloc(512);
  block.write('stargz.index.json', 0, 'latin1');
  block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write('        0', 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
