import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSamples } from '../../measurements/sample.ts';
import { linkId } from '../report/cells.ts';
import { csv, header, smallRun } from '../testing/small-run.ts';
import { gridOfLinks, syntheticSamples, usualModes } from '../testing/synthetic-run.ts';
import { syntheticTimeline } from '../testing/synthetic-timeline.ts';
import { describeAround, describeConditions, reproduction } from './conditions.ts';
import { filterRun, readRun, referenceLink } from './run.ts';

test('modes are in their known order, workloads from the fastest', () => {
  assert.deepEqual(smallRun.modes, ['legacy', 'stargz', 'estargz']);
  assert.deepEqual(smallRun.workloads, ['python', 'gcc']);
});

test('second runs stand behind their mode, and peers last', () => {
  const names = ['mine:estargz', 'estargz+shared', 'docker', 'estargz-noopt', 'estargz', 'legacy+again', 'legacy'];
  const rows = names.map((mode, index) =>
    csv
      .split('\n')[1]!
      .replace('legacy', mode)
      .replace('r1,1,1', `r1,1,${index + 1}`),
  );
  const run = readRun(parseSamples([header, ...rows, ''].join('\n'), 'x'), undefined);
  assert.deepEqual(run.modes, [
    ...['legacy', 'legacy+again', 'estargz', 'estargz+shared', 'estargz-noopt', 'docker', 'mine:estargz'],
  ]);
  assert.match(reproduction(run, run.links), / --modes legacy,legacy\+again,estargz,.*,mine:estargz --samples/);
  assert.doesNotMatch(reproduction(smallRun, smallRun.links), /--modes/);
});

test('each link has its own numbers, and the one nearest to the usual link is the reference', () => {
  const plan = { workloads: ['gcc'], modes: usualModes, links: gridOfLinks, samples: 2 };
  const run = readRun(syntheticSamples(plan), undefined);
  assert.equal(run.links.length, 8);
  assert.ok(run.links.every(({ groups, samples }) => groups.length === 3 && samples.length === 6));
  assert.equal(referenceLink(run.links).name, '30 ms RTT, 100 Mbit/s');
  assert.match(reproduction(run, run.links), / --rtt 0ms,10ms,30ms,100ms --bandwidth 100mbit,1000mbit$/);
});

test('a link with another model of TCP is another link, and its command asks for that model', () => {
  const samples = smallRun.samples.map((sample, index) =>
    index % 3 === 0 ? sample : { ...sample, tcp: index % 3 === 1 ? 'slow start' : 'slow start, 0.07 % loss' },
  );
  const { links } = readRun(samples, undefined);
  const usual = '30 ms RTT, 200 Mbit/s';
  assert.deepEqual(links.map(({ name }) => name).sort(), [
    usual,
    `${usual}, slow start`,
    `${usual}, slow start, 0.07 % loss`,
  ]);
  assert.equal(new Set(links.map(linkId)).size, 3);
  const commands = links.map((link) => reproduction(smallRun, [link]).replace(/^.* --bandwidth 200mbit/, ''));
  assert.deepEqual(commands.sort(), ['', ' --loss 0.07%', ' --slow-start']);
});

test('a filter leaves the traced starts of what it names', () => {
  const samples = syntheticSamples({ workloads: ['gcc', 'python'], modes: usualModes, links: gridOfLinks, samples: 1 });
  const run = readRun(samples, undefined, { timeline: syntheticTimeline(samples) });
  const { timeline } = filterRun(run, { workload: (name) => name === 'gcc', mode: (name) => name !== 'legacy' });
  const names = new Set(timeline.map(({ workload, mode }) => `${workload} ${mode}`));
  assert.deepEqual(names, new Set(['gcc stargz', 'gcc estargz']));
});

test('a filter leaves the rows it names, and takes their mean anew', () => {
  const gcc = filterRun(smallRun, { workload: (name) => name === 'gcc', mode: () => true });
  assert.deepEqual(gcc.workloads, ['gcc']);
  assert.equal(gcc.samples.length, 3);
  assert.equal(gcc.links[0]!.overall.find(({ mode }) => mode === 'estargz')?.speedUp, 4);
  assert.equal(filterRun(smallRun, { workload: () => true, mode: () => true }), smallRun);
});

test('a chart says link, number of samples and failures, and the command unless that is too long', () => {
  assert.equal(describeConditions(smallRun.links[0]!), '30 ms RTT, 200 Mbit/s, n = 3, 2 of 9 cells failed');
  assert.equal(describeAround(smallRun).caption, 'Reproduce: npm ci && npm run bench');
  assert.equal(describeAround(smallRun).origin, '2026-01-02, commit 0123456 + uncommitted changes');
  const long = { ...smallRun, environment: { ...smallRun.environment!, command: 'x'.repeat(200) } };
  assert.equal(describeAround(long).caption, 'Reproduce: the command is in report.html');
});
