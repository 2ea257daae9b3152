import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runMarkdown } from '../formats/markdown.ts';
import { loadRun } from '../run/load.ts';
import { verdict } from '../testing/verdict.ts';
import { usualLinks, usualModes, writeSyntheticRun } from '../testing/synthetic-run.ts';
import { packRun, unpackRun } from './pack.ts';
import { renderReport } from './report.ts';
import { parseVerdict } from './verdict.ts';

const limit = { timeout: 60_000 };

test('the lines of a verdict are headings, sentences, rows and what is to be typed, and none is lost', () => {
  const blocks = parseVerdict(verdict);
  assert.deepEqual(
    blocks.map(({ kind }) => kind),
    ['heading', 'text', 'text', 'text', 'rows', 'heading', 'text', 'code', 'text', 'code'],
  );
  assert.deepEqual(blocks[0], { kind: 'heading', text: 'Verdict on registry.example/<app>:1, 30 ms RTT, 200 Mbit/s' });
  assert.deepEqual(blocks[4], {
    kind: 'rows',
    rows: [
      ['bandwidth', 'any', 'at 30 ms RTT'],
      ['round trip', 'below 220 ms', 'at 200 Mbit/s'],
      ['share read', 'below 78 %', 'at both; here it is 5.0 %'],
    ],
  });
  const words = (text: string) => text.split(/\s+/).filter(Boolean);
  const shown = blocks.flatMap((block) => {
    switch (block.kind) {
      case 'rows':
        return block.rows.flat();
      case 'code':
        return block.lines;
      default:
        return [block.text];
    }
  });
  assert.deepEqual(words(shown.join(' ')), words(verdict));
});

test('a run of one’s own image opens with its verdict, on the page and in Markdown', limit, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'stargz-bench-verdict-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await writeSyntheticRun(directory, { workloads: ['app'], modes: usualModes, links: usualLinks, samples: 2 });
  assert.equal((await loadRun(directory)).verdict, undefined);
  await writeFile(join(directory, 'verdict.txt'), verdict);
  const run = await loadRun(directory);
  assert.equal(unpackRun(packRun(run)).verdict, run.verdict);
  const body = (await renderReport(run)).split('<body>')[1]!;
  assert.match(body, /<h1>Verdict on registry\.example\/&lt;app&gt;:1, 30 ms RTT, 200 Mbit\/s<\/h1>/);
  assert.equal(body.match(/<h1>/g)?.length, 1);
  assert.ok(body.indexOf('<h1>Verdict on') < body.indexOf('<table class="glance">'));
  assert.match(runMarkdown(run), /^### [^\n]+\n\n```text\nVerdict on registry[^`]+stargz"\n```\n\n/);
});
