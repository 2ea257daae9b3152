import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRun } from '../run/run.ts';
import { runMarkdown } from '../formats/markdown.ts';
import { smallRun } from '../testing/small-run.ts';
import { syntheticTimeline } from '../testing/synthetic-timeline.ts';
import { gridOfLinks, syntheticSamples, tenModes, usualLinks, usualModes } from '../testing/synthetic-run.ts';
import { cellsOf, columnsOf } from './cells.ts';
import { packRun, unpackRun } from './pack.ts';
import { describeSelection, selects, sortCells } from './page/selection.ts';
import { readState, writeState } from './page/state.ts';
import { renderReport } from './report.ts';
import { describeRun } from './words.ts';

const limit = { timeout: 60_000 };
const four = ['python', 'gcc', 'postgres', 'tomcat'];
const sampled = (samples: number, links = usualLinks, modes = usualModes) =>
  readRun(syntheticSamples({ workloads: four, modes, links, samples }), undefined);

test('the verdict names the fastest first run, its mean and its interval, and counts what the comparisons come to', () => {
  const { title, lede } = describeRun(sampled(10, usualLinks, tenModes));
  assert.match(title, /^estargz is ready 2\.\d times as fast as legacy$/);
  assert.match(lede[0]!, /^Geometric mean of 4 workloads, 30 ms RTT, 200 Mbit\/s, 95 % interval 2\.\d to [23]\.\d\.$/);
  assert.match(lede[1]!, /^Of 32 comparisons: \d+ faster, \d+ slower \(.*\), \d+ no difference shown\.$/);
});

test('few samples, several links and failures are said; nothing to compare is no verdict', () => {
  assert.match(describeRun(sampled(3)).lede.join(' '), /too few samples for an interval\. There are too few samples/);
  assert.match(
    describeRun(sampled(2, gridOfLinks)).lede.join(' '),
    /Over the 8 links, estargz is from 1\.\d+ \(.*, 1 Gbit\/s\) to/,
  );
  assert.match(describeRun(smallRun).lede.join(' '), /2 of 9 cells failed/);
  assert.match(describeRun(sampled(2, usualLinks, ['estargz'])).lede.join(' '), /nothing is compared/);
});

test('where no mode is faster than legacy, the title says so', () => {
  const slow = syntheticSamples({
    ...{ workloads: four, modes: ['legacy', 'estargz'], links: usualLinks, samples: 8 },
    slower: { mode: 'estargz', factor: 30 },
  });
  assert.match(
    describeRun(readRun(slow, undefined)).title,
    /^Nothing is faster than legacy: estargz takes \d.* times as long$/,
  );
  const same = syntheticSamples({ workloads: four, modes: ['legacy', 'docker'], links: usualLinks, samples: 8 });
  assert.equal(describeRun(readRun(same, undefined)).title, 'No difference shown between docker and legacy');
});

test(
  'of a run beside another commit, report and Markdown say what changed, and its modes win nothing',
  limit,
  async () => {
    const modes = ['legacy', 'estargz', 'base:legacy', 'base:estargz'];
    const slower = { mode: 'estargz', factor: 1.5 };
    const run = readRun(
      syntheticSamples({ workloads: four, modes, links: usualLinks, samples: 10, slower }),
      undefined,
    );
    assert.deepEqual(run.modes, ['legacy', 'base:legacy', 'estargz', 'base:estargz']);
    const { title, lede } = describeRun(run);
    assert.match(title, /^estargz is/);
    assert.ok(
      lede.includes('Beside the base commit, in the same rounds: 4 slower, 4 no difference shown.'),
      lede.join(' '),
    );
    assert.match(
      runMarkdown(run),
      /#### Beside the base commit\n\n\| workload .*\n.*\n\| \w+ \| legacy \| .* \| no difference shown \|/,
    );
    const alone = syntheticSamples({
      workloads: four,
      modes: modes.slice(1).filter((mode) => mode !== 'base:legacy'),
      links: usualLinks,
      samples: 10,
      slower,
    });
    assert.equal(describeRun(readRun(alone, undefined)).title, 'Beside the base commit: 4 slower');
    assert.match(await renderReport(run), /<h2>Beside the base commit<\/h2>[\s\S]*<td class="text verdict slower">/);
  },
);

test('a run comes out of its page as it went in', () => {
  const samples = syntheticSamples({ workloads: four, modes: usualModes, links: gridOfLinks, samples: 1 });
  const traced = readRun(samples, undefined, { timeline: syntheticTimeline(samples) });
  assert.ok(traced.timeline.length > 100);
  for (const run of [smallRun, sampled(7, gridOfLinks), traced]) {
    const back = unpackRun(JSON.parse(JSON.stringify(packRun(run))));
    assert.deepEqual(JSON.parse(JSON.stringify(back)), JSON.parse(JSON.stringify(run)));
    assert.deepEqual(back.categories, run.categories);
  }
});

test('the choices are in the address, and come out of it', () => {
  const state = {
    ...{ workload: 'py g++', category: ['ai', 'server'], mode: ['legacy+again', 'go-stargz:estargz'] },
    ...{ link: '30ms-200mbit', sort: '-speedup', cell: 'gcc|estargz+again|30ms-200mbit', theme: 'dark' },
  };
  assert.deepEqual(readState(writeState(state)), state);
  assert.equal(writeState(readState('')), '');
});

test('a filter takes parts of names, categories, modes and a link together', () => {
  const cells = cellsOf(sampled(2, gridOfLinks));
  const chosen = readState('#workload=PY+gcc&mode=estargz&link=0ms-1000mbit');
  assert.deepEqual(
    cells.filter(selects(chosen)).map(({ id }) => id),
    ['gcc', 'python'].map((name) => `${name}|estargz|0ms-1000mbit`).sort((one, other) => rank(one) - rank(other)),
  );
  function rank(id: string): number {
    return cells.findIndex((cell) => cell.id === id);
  }
});

test('rows sort by number or by name, and those without a value are last both ways', () => {
  const cells = cellsOf(smallRun);
  const column = columnsOf(smallRun).find(({ key }) => key === 'total');
  const order = (descending: boolean) =>
    sortCells(cells, column, descending).map(({ group }) => `${group.workload} ${group.mode}`);
  assert.deepEqual(order(false), ['python estargz', 'gcc estargz', 'python legacy', 'gcc legacy', 'gcc stargz']);
  assert.deepEqual(order(true), ['gcc legacy', 'python legacy', 'gcc estargz', 'python estargz', 'gcc stargz']);
  assert.match(describeSelection(cells.slice(0, 2), 5), /^2 of 5 rows; geometric mean .*: estargz/);
});

test('the page loads nothing, escapes its data, has unique ids, and its table without a script', limit, async () => {
  const html = await renderReport(smallRun);
  const markup = html.replaceAll(/<script[\s\S]*?<\/script>/g, '');
  assert.doesNotMatch(markup, /https?:|src=|<link (?!rel="icon" href="data:,")|@import/);
  assert.equal(html.match(/<script/g)!.length, html.match(/<\/script>/g)!.length);
  assert.match(markup, /a &lt;b&gt; &amp; c/);
  assert.match(html, /not lazy: 3 of \\u003c4> layers/);
  assert.match(markup, /<td class="number">4\.00<\/td>/);
  const ids = [...markup.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]);
  assert.equal(new Set(ids).size, ids.length);
});
