import assert from 'node:assert/strict';
import { access, cp, glob, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { findViolations } from '../testing/axe.ts';
import { usualLinks, usualModes, writeSyntheticRun } from '../testing/synthetic-run.ts';
import { makeSite } from './site.ts';

const limit = { timeout: 120_000 };
const root = fileURLToPath(new URL('../..', import.meta.url));
let directory: string;
let site: string;
let faults: readonly string[];

/** Four commits, the third of which made estargz slower; a program with limits; a run that cannot be read. */
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'stargz-bench-site-'));
  const published = join(directory, 'published');
  for (const day of [1, 2, 3, 4]) {
    await writeSyntheticRun(join(published, `bench/2026010${day}`), {
      ...{ workloads: ['python', 'gcc'], modes: usualModes, links: usualLinks, samples: 10, seed: 7 },
      ...{ runId: `2026010${day}`, commit: String(day).repeat(40), startedAt: `2026-01-0${day}T03:04:05.000Z` },
      ...(day >= 3 ? { slower: { mode: 'estargz', factor: 1.5 } } : {}),
    });
  }
  // The newest of all compares with no legacy, so it is not what the first page opens with.
  await writeSyntheticRun(join(published, 'bench/20260105'), {
    ...{ workloads: ['gcc'], modes: ['estargz', 'base:estargz'], links: usualLinks, samples: 6, runId: '20260105' },
    ...{ commit: '5'.repeat(40), startedAt: '2026-01-05T03:04:05.000Z' },
  });
  // One by its name: others may be published.
  const pull = 'bench-pull/20261126-232102';
  await cp(join(root, 'results/published', pull), join(published, pull), { recursive: true });
  await mkdir(join(published, 'bench/torn'), { recursive: true });
  await writeFile(join(published, 'bench/torn/environment.json'), '{');
  site = join(directory, 'results/site');
  const made = await makeSite({
    publishedDir: published,
    outDir: site,
    methodPath: join(root, 'docs/architecture.md'),
  });
  faults = made.faults;
}, limit);

after(() => rm(directory, { recursive: true, force: true }));

test(
  'runs are newest first, with their findings, and a run that cannot be read is said and hides no other',
  limit,
  async () => {
    const index = await readFile(join(site, 'index.html'), 'utf8');
    const runs = [...index.matchAll(/<a href="([\w./-]+)\/(?:index|report)\.html">2026/g)].map((match) => match[1]);
    const days = [5, 4, 3, 2, 1].map((day) => `bench/2026010${day}`);
    assert.deepEqual(runs.slice(1), days);
    assert.match(index, /<h1>(stargz|estargz) is ready .* times as fast as legacy<\/h1>/);
    assert.match(index, /Beside the base commit: 1 no difference shown/);
    assert.match(runs[0]!, /^bench-pull\//);
    assert.match(index, /6 of 6 limits met/);
    assert.equal(faults.length, 1);
    assert.match(index, /torn\/environment\.json: not JSON/);
  },
);

test('a change point is at the first commit with the change, and only in the mode that changed', limit, async () => {
  const index = await readFile(join(site, 'index.html'), 'utf8');
  const changes = [
    ...index.matchAll(
      /<tr><td>(\w+)<\/td><td>(\w+)<\/td><td>(\d{7})<\/td><td>(\d{7})<\/td>.*<td>(slower|faster)<\/td>/g,
    ),
  ];
  assert.deepEqual(changes.map((match) => match.slice(1, 6).join(' ')).sort(), [
    'gcc estargz 3333333 2222222 slower',
    'python estargz 3333333 2222222 slower',
  ]);
  assert.match(await readFile(join(site, 'trend.svg'), 'utf8'), />3333333<\/text>/);
});

test('every page says how to measure again in two commands, and every link leads to a file', limit, async () => {
  const index = await readFile(join(site, 'index.html'), 'utf8');
  assert.match(index, /<code>npm ci<\/code>[\s\S]*<code>npm run bench -- [^<]*<\/code>/);
  let count = 0;
  for await (const path of glob('**/*.html', { cwd: site })) {
    const html = (await readFile(join(site, path), 'utf8')).replaceAll(/<script[\s\S]*?<\/script>/g, '');
    for (const [, target] of html.matchAll(/(?:href|src|srcset)="(?!data:)([^"#]+)"/g)) {
      count++;
      await access(join(site, dirname(path), target!));
    }
  }
  assert.ok(count >= 20, `${count} links`);
});

test('in Chromium no page complains, and axe has no objection, light or dark', limit, async (t) => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  t.after(() => browser.close());
  const complaints: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ colorScheme });
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    for await (const path of glob(['{index,method}.html', 'bench-pull/*/index.html'], { cwd: site })) {
      await page.goto(pathToFileURL(join(site, path)).href);
      assert.deepEqual(await findViolations(page), [], path);
    }
  }
  assert.deepEqual(complaints, []);
});

test('made again, it replaces what was there; without published runs it says so and leaves it', limit, async () => {
  await writeFile(join(site, 'stale.html'), '');
  const options = { outDir: site, methodPath: join(root, 'docs/architecture.md') };
  await assert.rejects(
    makeSite({ ...options, publishedDir: join(directory, 'none') }),
    /cannot read .*none \(ENOENT\)/,
  );
  await access(join(site, 'stale.html'));
  await makeSite({ ...options, publishedDir: join(directory, 'published') });
  await assert.rejects(access(join(site, 'stale.html')), { code: 'ENOENT' });
});
