import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { FOOTER_MAX, parseFooter } from './footer.ts';
import { inflateMember } from './member.ts';
import { scanToc } from './testing/whole-toc.ts';
import { readWholeToc } from './toc.ts';
import { sliceText, TocReader } from './toc.ts';

/** `digest`: the toc.digest annotation in the manifest that `ctr-remote images convert` wrote for the layer. */
const peers = [
  {
    file: 'estargz.bin',
    kind: 'estargz',
    digest: 'sha256:f076f037509515384ad21d4a74b3356b237c46b215c44492d55557e5c26242f5',
  },
  {
    file: 'zstd-chunked.bin',
    kind: 'zstd-chunked',
    digest: 'sha256:d2e49e02368328fd66caa9acf8adb058ca5e7af6b8221495a30b3ddc281fd412',
  },
] as const;

describe('layers written by ctr-remote', { timeout: 10_000 }, () => {
  for (const peer of peers) {
    const blob = readFileSync(new URL(`testdata/${peer.file}`, import.meta.url));
    const footer = parseFooter(blob.subarray(-FOOTER_MAX), blob.length)!;
    const member = blob.subarray(footer.tocOffset, footer.tocEnd);

    test(`${peer.kind}: the footer is found and the TOC has the digest in the manifest`, () => {
      assert.equal(footer.kind, peer.kind);
      assert.equal(new TocReader(member, footer).digest(), peer.digest);
    });

    test(`${peer.kind}: file content is at the offsets in the TOC`, () => {
      const contents = new Map<string, string>();
      scanToc(readWholeToc(member, footer), (entry) => {
        if (entry.type !== 'reg' || entry.size === 0 || entry.chunkSize !== 0) return;
        const bytes = inflateMember(blob.subarray(entry.offset, footer.payloadEnd), footer.compression, entry.size, {
          toEnd: false,
        });
        contents.set(sliceText(entry.name), bytes.toString());
      });
      assert.equal(contents.get('bin/su'), '#!/bin/sh\n'.repeat(30));
      assert.equal(contents.get('etc/stays'), 'here');
      assert.equal(contents.get('.no.prefetch.landmark'), '\x0f');
    });
  }
});
