import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSamples } from '../../measurements/sample.ts';
import type { RequestKind } from '../../measurements/timeline.ts';
import { renderSvg } from '../drawing/render.ts';
import { colorsOf, dark, frameWidth, light, themes } from '../drawing/theme.ts';
import { readRun, referenceLink, type TimelineMark } from '../run/run.ts';
import { csv, smallRun } from '../testing/small-run.ts';
import {
  gridOfLinks,
  manyWorkloads,
  type SyntheticPlan,
  syntheticSamples,
  tenModes,
  usualLinks,
  usualModes,
} from '../testing/synthetic-run.ts';
import { syntheticTimeline } from '../testing/synthetic-timeline.ts';
import { benchCharts } from './charts.ts';
import { ecdfData } from './ecdf.ts';
import { floorsOf } from './floors.ts';
import { intervalData } from './intervals.ts';
import { phaseData } from './phases.ts';
import { relativeData } from './relative.ts';
import { secondRunData } from './second-runs.ts';
import { crossoversOf, sizeData } from './size.ts';
import { sweepData } from './sweep.ts';
import { panelOf } from './timeline-panel.ts';

const limit = { timeout: 60_000 };
const at = referenceLink(smallRun.links);
const four = ['python', 'gcc', 'postgres', 'tomcat'];

test('the bar of a mode is the sample with the median total, phase by phase', () => {
  const bar = (workload: string, mode: string) =>
    phaseData(at)
      .filter((datum) => datum.kind === 'phase' && datum.workload === workload && datum.mode === mode)
      .map((datum) => datum.seconds);
  assert.deepEqual(bar('python', 'legacy'), [9, 0.1, 0.9]);
  assert.deepEqual(bar('python', 'estargz'), [0.5, 0.1, 0.4], 'of two samples, the lower one');
});

test('every good sample is a dot at its total, and a failed one is none', () => {
  const expected = csv
    .split('\n')
    .map((line) => line.split(','))
    .filter((cells) => cells[12] === 'true')
    .map((cells) => `${cells[3]} ${cells[5]} ${Number(cells[9]) / 1000}`)
    .sort();
  for (const data of [phaseData(at), intervalData(at)]) {
    const dots = data.filter((datum) => datum.kind === 'sample');
    assert.deepEqual(dots.map((dot) => `${dot.workload} ${dot.mode} ${dot.seconds}`).sort(), expected);
  }
});

test('a mode without a good sample shows the number of failures instead of a bar', () => {
  const failed = phaseData(at).filter((datum) => datum.workload === 'gcc' && datum.mode === 'stargz');
  assert.deepEqual(
    failed.map((datum) => [datum.kind, datum.label]),
    [['failed', '1 failed']],
  );
});

test('the distribution reaches 100 % at the slowest sample', () => {
  const shares = ecdfData(at).filter((datum) => datum.workload === 'python' && datum.mode === 'legacy');
  assert.deepEqual(
    shares.map((datum) => [datum.seconds, datum.share]),
    [
      [8, 1 / 3],
      [10, 2 / 3],
      [12, 1],
    ],
  );
});

test('relative to the best, the fastest mode of each workload is 1, and a mode that lacks a workload has no mean', () => {
  const cells = Object.fromEntries(relativeData(at).map(({ workload, mode, ratio }) => [`${workload} ${mode}`, ratio]));
  assert.equal(cells['python estargz'], 1);
  assert.equal(cells['gcc legacy'], 4);
  assert.ok(Math.abs(cells['geometric mean legacy']! - Math.sqrt((10 / 1.5) * 4)) < 1e-9);
  assert.equal(cells['geometric mean stargz'], undefined);
});

test('the floors are the bytes over the bandwidth, and for a lazy start three round trips and a start from local files', () => {
  const rows = csv.replaceAll(',ok,', ',layers,lazy_layers,ok,').split('\n');
  const withLayers = rows.map((row) => row.replace(/,(true|false),/, `,4,${/estargz|stargz/.test(row) ? 4 : 0},$1,`));
  const run = readRun(parseSamples(withLayers.join('\n'), 'x'), undefined);
  const floor = floorsOf(run.links[0]!).find(({ workload }) => workload === 'python');
  assert.equal(floor?.rawSeconds, 300e6 / 25e6);
  assert.equal(floor?.lazySeconds, 9e6 / 25e6 + 3 * 0.03 + 0.9);
  assert.deepEqual(floorsOf({ ...run.links[0]!, link: { rttMs: 0, bandwidthMbps: undefined } }), []);
});

test('a line through the workloads gives the share at which a mode stops paying, only where it was measured or near', () => {
  const point = (share: number, relative: number) => ({
    ...{ workload: `w${share}`, mode: 'm', imageMegabytes: 1, seconds: 1, share, relative },
  });
  const [found] = crossoversOf([point(0.1, 0.2), point(0.2, 0.4), point(0.3, 0.6), point(0.45, 0.9)]);
  assert.ok(Math.abs(found!.share - 0.5) < 1e-9);
  assert.deepEqual(crossoversOf([point(0.1, 0.2), point(0.2, 0.4), point(0.3, 0.6), point(0.39, 0.78)]), []);
  assert.deepEqual(crossoversOf([point(0.1, 0.2), point(0.2, 0.4)]), [], 'two workloads are no line');
});

test('second runs stand beside the first of their mode; modes that ran once are left out', () => {
  const run = synthetic({ workloads: ['python'], modes: tenModes, links: usualLinks, samples: 2 });
  const found = secondRunData(run.links[0]!).map((datum) => `${datum.mode} ${datum.run}`);
  assert.deepEqual(found, [
    ...['legacy first', 'legacy the same image again', 'estargz first', 'estargz the same image again'],
  ]);
});

test('a sweep holds the other setting fixed in each plot, and shows only the usual one if there were too many', () => {
  const few = synthetic({ workloads: four, modes: usualModes, links: gridOfLinks, samples: 2 });
  assert.equal(new Set(sweepData(few, 'rtt').map(({ plot }) => plot)).size, 8);
  const many = synthetic({ workloads: manyWorkloads, modes: usualModes, links: gridOfLinks, samples: 1 });
  assert.deepEqual(new Set(sweepData(many, 'rtt').map(({ plot }) => plot)), new Set(many.workloads));
  assert.equal(benchCharts.rtt!({ run: smallRun, at, theme: light }), undefined, 'one link is no sweep');
});

test('of a start, requests at one time are in lanes of their own, and bytes add up to the whole', () => {
  const place = { workload: 'gcc', mode: 'estargz', rttMs: 30, bandwidthMbps: 200 };
  const request = (what: RequestKind, atMs: number, firstByteMs: number, endMs: number) => ({
    ...{ ...place, kind: 'request' as const, what, atMs, firstByteMs, endMs, bytes: 10 },
  });
  const events: TimelineMark[] = [
    request('toc', 0, 100, 200),
    request('demand', 150, 180, 300),
    request('prefetch', 210, 250, 260),
    request('prefetch', 990, 1100, 1300),
    request('prefetch', 1200, 1220, 1300),
    { ...place, kind: 'bytes', atMs: 100, endMs: 200, bytes: 10 },
    { ...place, kind: 'bytes', atMs: 250, endMs: 300, bytes: 30 },
    { ...place, kind: 'miss', atMs: 150, endMs: 300 },
    { ...place, kind: 'ready', atMs: 1000, bytes: 50 },
  ];
  const panel = panelOf('estargz', events, { width: 300, withMisses: true })!;
  const bars = panel.requests.filter(({ isWaiting }) => !isWaiting);
  assert.deepEqual(
    bars.map(({ name, from, to }) => [name, from, to]),
    [
      ['TOC', 0.1, 0.2],
      ['demand', 0.18, 0.3],
      ['prefetch', 0.25, 0.26],
      ['prefetch', 1.1, 1.3],
    ],
    'what begins after ready is not shown',
  );
  const [toc, demand, later] = bars.map(({ top }) => top);
  assert.ok(toc! < demand! && toc === later, 'a lane is used again once it is free');
  assert.deepEqual([panel.requestCount, panel.missCount, panel.totalBytes], [4, 1, 50]);
  const [first, ...line] = panel.bytes;
  assert.deepEqual(
    line.map(({ from, top }) => [from, Math.round(((first!.top - top) / (first!.top - line.at(-1)!.top)) * 100)]),
    [
      [0.1, 0],
      [0.2, 25],
      [0.25, 25],
      [0.3, 100],
      [1, 100],
    ],
  );
  assert.equal(panelOf('estargz', events.slice(0, -1), { width: 300, withMisses: true }), undefined);
});

test('a timeline is drawn for the link that is looked at, and names the workloads that have no room', () => {
  const draw = (workloads: readonly string[], modes: readonly string[], links = usualLinks) => {
    const run = synthetic({ workloads, modes, links, samples: 1 });
    return run.links.map((link) => benchCharts.timeline!({ run, at: link, theme: light })!);
  };
  const [all] = draw(manyWorkloads, usualModes);
  assert.match(all!.subtitle, /; 31 more workloads in report\.html$/);
  assert.equal(new Set(all!.description.split('; ').map((text) => text.split(' ')[0])).size, 12);
  const [one, other] = draw(['gcc'], ['estargz'], gridOfLinks);
  assert.match(one!.description, /^gcc estargz: ready in [\d.]+ s, \d+ requests, [\d.]+ MB, \d+ misses$/);
  assert.notEqual(one!.description, other!.description);
});

test('a chart is drawn only where its data are there', () => {
  const names = (text: string) => {
    const run = readRun(parseSamples(text, 'x'), undefined);
    const scene = { run, at: run.links[0]!, theme: light };
    return Object.values(benchCharts).flatMap((draw) => draw(scene)?.name ?? []);
  };
  assert.deepEqual(names(csv), ['phases', 'relative', 'intervals', 'ecdf', 'wire']);
  const bare = 'run_id,sample,order,workload,mode,pull_ms,create_ms,run_ms,total_ms,ok,started_at';
  assert.deepEqual(names(`${bare}\nr1,1,1,redis,estargz,1,2,3,6,true,2026-01-02\n`), ['phases', 'intervals']);
});

test('neither a failed cell nor one of unknown size is a point against image size', () => {
  assert.equal(sizeData(at).length, 4);
  const bare = csv.replaceAll(',300000000,30', ',,30').replaceAll(',400000000,30', ',,30');
  assert.deepEqual(sizeData(readRun(parseSamples(bare, 'x'), undefined).links[0]!), []);
});

const shapes: [string, SyntheticPlan][] = [
  ['4 workloads in 3 modes', { workloads: four, modes: usualModes, links: usualLinks, samples: 10 }],
  ['1 workload in 2 modes', { workloads: ['gcc'], modes: ['legacy', 'estargz'], links: usualLinks, samples: 6 }],
  ['43 workloads in 3 modes', { workloads: manyWorkloads, modes: usualModes, links: usualLinks, samples: 2 }],
  ['43 workloads in 10 modes', { workloads: manyWorkloads, modes: tenModes, links: usualLinks, samples: 2 }],
  [
    'images of anybody, with long names',
    {
      ...{
        workloads: ['registry.example.com/team/an-application-with-a-long-name:2026.11.27-rc1', 'docker-daemon:app'],
      },
      ...{ modes: ['legacy', 'estargz', 'another-snapshotter:estargz-noopt+again'], links: usualLinks, samples: 6 },
    },
  ],
  ['4 workloads over 8 links', { workloads: four, modes: usualModes, links: gridOfLinks, samples: 2 }],
];
for (const [what, plan] of shapes) {
  test(`${what}: every picture is as wide as a README, and none of its texts overlap or are cut`, limit, async () => {
    const run = synthetic(plan);
    for (const [name, draw] of Object.entries(benchCharts)) {
      const chart = draw({ run, at: referenceLink(run.links), theme: light });
      if (chart === undefined) continue;
      const svg = await renderSvg(chart, light);
      assert.equal(/ width="(\d+)"/.exec(svg)![1], String(frameWidth), name);
      assert.deepEqual(overlaps(svg), [], name);
      assert.deepEqual(
        textBoxes(svg).filter(({ left, right }) => left < 0 || right > frameWidth),
        [],
        name,
      );
    }
  });
}

test('modes of one picture have colours of their own, on light and on dark pages', () => {
  for (const theme of themes) assert.equal(new Set(colorsOf(tenModes, theme)).size, tenModes.length);
  assert.notDeepEqual(colorsOf(tenModes, light), colorsOf(tenModes, dark));
});

function synthetic(plan: SyntheticPlan) {
  const samples = syntheticSamples(plan);
  return readRun(samples, undefined, { timeline: syntheticTimeline(samples) });
}

interface TextBox {
  readonly text: string;
  readonly left: number;
  readonly right: number;
  readonly y: number;
}

/** Upright texts by their places in the SVG and a cautious width of their letters. */
function textBoxes(svg: string): TextBox[] {
  const boxes: TextBox[] = [];
  const offsets: [number, number][] = [[0, 0]];
  for (const [tag, name, text] of svg.matchAll(/<(\/?g|text)\b[^>]*>(?:([^<]*)<\/text>)?/g)) {
    const [, x = '0', y = '0'] = /translate\(([-\d.]+),\s*([-\d.]+)\)/.exec(tag) ?? [];
    const [left, top] = offsets.at(-1)!;
    const own = (axis: string) => Number(new RegExp(` ${axis}="([\\d.]+)"`).exec(tag)?.[1] ?? 0);
    const place: [number, number] = [left + Number(x) + own('x'), top + Number(y) + own('y')];
    if (tag.endsWith('/>')) continue;
    if (name === 'g') offsets.push(place);
    else if (name === '/g') offsets.pop();
    else if (!/rotate\((?!0\))/.test(tag) && text !== undefined && text !== '' && !/opacity="0"/.test(tag)) {
      const size = Number(/font-size="([\d.]+)/.exec(tag)?.[1] ?? 11);
      const width = text.length * size * 0.42;
      const anchor = /text-anchor="(\w+)"/.exec(tag)?.[1];
      const start = place[0] - (anchor === 'end' ? width : anchor === 'middle' ? width / 2 : 0);
      boxes.push({ text, left: start, right: start + width, y: place[1] });
    }
  }
  return boxes;
}

/** Pairs of texts that stand on one another. */
function overlaps(svg: string): string[] {
  const sorted = textBoxes(svg).sort((one, other) => one.y - other.y || one.left - other.left);
  return sorted.flatMap((box, index) => {
    const near = sorted.slice(index + 1).filter((other) => other.y - box.y < 7);
    const hit = near.find((other) => other.left < box.right && box.left < other.right);
    return hit === undefined ? [] : [`${box.text} / ${hit.text}`];
  });
}
