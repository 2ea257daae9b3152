import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { drawCharts } from '../../draw.ts';
import { findViolations } from '../../testing/axe.ts';
import {
  gridOfLinks,
  manyWorkloads,
  type SyntheticPlan,
  tenModes,
  usualLinks,
  usualModes,
  writeSyntheticRun,
} from '../../testing/synthetic-run.ts';
import { verdict } from '../../testing/verdict.ts';

/** The page as people have it: opened from a file in Debian's Chromium, without a network. */

const limit = { timeout: 120_000 };
const four = ['python', 'gcc', 'postgres', 'tomcat'];
const gridPlan: SyntheticPlan = {
  workloads: four,
  modes: usualModes,
  links: gridOfLinks,
  samples: 6,
  isTraced: true,
  fails: ({ workload, mode }) => workload === 'gcc' && mode === 'stargz',
};
let browser: Browser;
let directory: string;
let grid: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'stargz-bench-page-'));
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  grid = await makeReport('grid', gridPlan);
}, limit);

after(async () => {
  await browser?.close();
  await rm(directory, { recursive: true, force: true });
});

test(
  'it opens without an error or a request, with its verdict first and every chart that its data allow',
  limit,
  async (t) => {
    const page = await open(t, grid);
    assert.match((await page.locator('h1').textContent())!, /^estargz is ready .* times as fast as legacy$/);
    await drawn(page);
    const shown = await page.locator('figure:not([hidden])').evaluateAll((all) => all.map((one) => one.dataset.chart));
    assert.deepEqual(shown, [
      ...['phases', 'relative', 'intervals', 'ecdf', 'rtt', 'bandwidth', 'size', 'wire', 'daemon', 'timeline'],
    ]);
    assert.equal(await page.locator('figure:not([hidden]) svg').count(), shown.length);
  },
);

for (const theme of ['light', 'dark'] as const) {
  test(`axe finds nothing to object to, ${theme}, with the drawer closed and open`, limit, async (t) => {
    const page = await open(t, grid, '', theme);
    await drawn(page);
    assert.deepEqual(await findViolations(page), []);
    await page.locator('[data-cell]').first().click();
    assert.deepEqual(await findViolations(page), []);
  });
}

for (const theme of ['light', 'dark'] as const) {
  test(`of one’s own image, the verdict comes first, whole, also on paper, ${theme}`, limit, async (t) => {
    const file = await makeReport('own', { workloads: ['app'], modes: usualModes, links: usualLinks, samples: 6 });
    await writeFile(join(directory, 'own', 'verdict.txt'), verdict);
    await drawCharts(join(directory, 'own'), { pictures: false });
    const page = await open(t, file, '', theme);
    await drawn(page);
    const answer = page.locator('.answer');
    const words = (text: string) => text.split(/\s+/).filter(Boolean);
    assert.deepEqual(words(await answer.innerText()), words(verdict));
    assert.match(await page.locator('h1').innerText(), /^Verdict on registry\.example\/<app>:1, 30 ms RTT/);
    assert.deepEqual(await findViolations(page), []);
    await page.emulateMedia({ media: 'print', colorScheme: theme });
    assert.deepEqual(words(await answer.innerText()), words(verdict));
    const cut = await answer
      .locator('pre')
      .evaluateAll((all) => all.map((one) => [one.scrollWidth - one.clientWidth, one.scrollHeight - one.clientHeight]));
    assert.deepEqual(cut, [
      [0, 0],
      [0, 0],
    ]);
  });
}

test(
  'a filter narrows table and charts, stands in the address, and the address shows the same again',
  limit,
  async (t) => {
    const page = await open(t, grid);
    await page.getByRole('searchbox', { name: 'Workload' }).fill('py');
    await page.getByRole('checkbox', { name: 'estargz', exact: true }).check({ force: true });
    await page.getByRole('combobox', { name: 'Link' }).selectOption({ label: '100 ms RTT, 1 Gbit/s' });
    const rows = async (on: Page) => on.locator('#cells tbody tr').allInnerTexts();
    const [row, ...others] = await rows(page);
    assert.match(row!.replaceAll(/\s+/g, ' '), /^python .*estargz 100 ms RTT, 1 Gbit\/s 6 /);
    assert.deepEqual(others, []);
    await drawn(page);
    const texts = await page.locator('figure[data-chart=phases] svg text').allTextContents();
    assert.ok(
      texts.includes('python') && texts.includes('estargz') && !texts.includes('legacy') && !texts.includes('gcc'),
    );
    for (const chart of ['phases', 'timeline']) {
      assert.match((await page.locator(`figure[data-chart=${chart}] p`).textContent())!, /^100 ms RTT, 1 Gbit\/s/);
    }
    const traced = await page.locator('figure[data-chart=timeline] svg text').allTextContents();
    assert.ok(traced.includes('python') && traced.includes('estargz') && !traced.includes('gcc'), traced.join(', '));
    assert.equal(new URL(page.url()).hash, '#workload=py&link=100ms-1000mbit&mode=estargz');
    const again = await open(t, grid, new URL(page.url()).hash);
    assert.deepEqual(await rows(again), [row]);
    await page.getByRole('button', { name: 'Show all' }).click();
    assert.equal((await rows(page)).length, 4 * 3 * 8);
    assert.equal(new URL(page.url()).hash, '');
  },
);

test('a heading sorts by its column, down and up, and keeps the focus', limit, async (t) => {
  const page = await open(t, grid);
  const heading = page.getByRole('button', { name: 'total s' });
  const totals = async () =>
    (await page.locator('#cells tbody tr td:nth-child(9)').allInnerTexts()).filter(Boolean).map(Number);
  await heading.focus();
  await page.keyboard.press('Enter');
  assert.deepEqual(
    await totals(),
    (await totals()).toSorted((one, other) => other - one),
  );
  assert.equal(await page.locator('th[aria-sort=descending]').innerText(), 'total s');
  await page.keyboard.press('Enter');
  assert.deepEqual(
    await totals(),
    (await totals()).toSorted((one, other) => one - other),
  );
});

test(
  'by keyboard alone, a row opens its samples, command and conditions, and Escape leads back to it',
  limit,
  async (t) => {
    const page = await open(t, grid);
    const opener = page.locator('[data-cell="gcc|stargz|30ms-100mbit"]');
    await opener.focus();
    await page.keyboard.press('Enter');
    const drawer = page.getByRole('dialog', { name: 'gcc, stargz' });
    assert.equal(await drawer.locator('tbody tr').count(), 6);
    assert.match(await drawer.locator('tbody').innerText(), /not ready within 60 s/);
    assert.match(
      await drawer.locator('code').innerText(),
      /--workloads gcc --modes stargz --samples 6 --rtt 30ms --bandwidth 100mbit/,
    );
    assert.match(await drawer.innerText(), /a <made-up> & synthetic CPU/);
    const hash = new URL(page.url()).hash;
    await page.keyboard.press('Escape');
    assert.equal(await drawer.count(), 0);
    assert.equal(
      await page.evaluate(() => document.activeElement?.getAttribute('data-cell')),
      'gcc|stargz|30ms-100mbit',
    );
    const linked = await open(t, grid, hash);
    assert.equal(await linked.getByRole('dialog', { name: 'gcc, stargz' }).count(), 1);
  },
);

test('it is dark where the system is, charts too, and the button turns it', limit, async (t) => {
  const page = await open(t, grid, '', 'dark');
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await drawn(page);
  assert.equal(await background(), 'rgb(1, 4, 9)');
  assert.match(await page.locator('figure[data-chart=phases] svg').innerHTML(), /#f0f6fc/);
  await page.getByRole('button', { name: 'Light theme' }).click();
  await drawn(page);
  assert.equal(await background(), 'rgb(246, 248, 250)');
  assert.doesNotMatch(await page.locator('figure[data-chart=phases] svg').innerHTML(), /#f0f6fc/);
});

test('it prints on white with every row and chart, without its controls', limit, async (t) => {
  const page = await open(t, grid, '', 'dark');
  await drawn(page);
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)');
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).color), 'rgb(31, 35, 40)');
  const filters = await page
    .locator('figure:not([hidden]) .picture')
    .evaluateAll((all) => all.map((one) => getComputedStyle(one).filter));
  assert.deepEqual([...new Set(filters)], ['invert(1) hue-rotate(180deg)']);
  assert.equal(await page.locator('#filters').isVisible(), false);
  assert.equal(await page.locator('figure:not([hidden]) svg').count(), 10);
  const cut = await page.locator('#cells').evaluate((one) => one.scrollHeight - one.clientHeight);
  assert.ok(cut <= 2, `${cut} px of the table are cut off`);
});

test('5,000 rows open, and every one is behind a row of the table', limit, async (t) => {
  const plan = { workloads: manyWorkloads, modes: tenModes, links: usualLinks, samples: 12 };
  const page = await open(t, await makeReport('large', plan));
  assert.equal(await page.locator('#cells tbody tr').count(), 430);
  await page.locator('[data-cell^="torch|docker|"]').click();
  assert.equal(await page.locator('dialog tbody tr').count(), 12);
});

async function makeReport(name: string, plan: SyntheticPlan): Promise<string> {
  await writeSyntheticRun(join(directory, name), plan);
  await drawCharts(join(directory, name), { pictures: false });
  return join(directory, name, 'report.html');
}

/** A page that must not ask for anything, nor complain. */
async function open(t: TestContext, file: string, hash = '', colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme });
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith('data:') && !request.url().startsWith(pathToFileURL(file).href))
      complaints.push(request.url());
  });
  t.after(async () => {
    await page.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(pathToFileURL(file).href + hash);
  return page;
}

async function drawn(page: Page): Promise<void> {
  await page.waitForFunction(() => document.body.dataset.drawn === 'true');
}
