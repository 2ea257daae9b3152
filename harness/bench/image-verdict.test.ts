import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseVerdict } from '../../charts/report/verdict.ts';
import type { Sample } from '../../measurements/sample.ts';
import { summarize } from '../../measurements/summary.ts';
import type { Workload } from '../../workloads/workload.ts';
import { modes } from '../cell/modes/catalogue.ts';
import { createPaint } from '../cli/terminal.ts';
import { renderVerdict } from './image-verdict.ts';

const limit = { timeout: 10_000 };

const workload: Workload = {
  ...{ name: 'app', title: 'registry.example/app:1', command: undefined, env: [], stdin: undefined, timeoutMs: 1 },
  image: { name: 'imported/app', source: 'registry.example/app:1' },
  ready: { kind: 'exit' },
};

type Totals = Readonly<Record<string, readonly number[]>>;
const link = { rttMs: 30, bandwidthMbps: 100 };

/** An image of 100 MB; `totals` by mode and round, in milliseconds. */
function samplesOf(totals: Totals, { rttMs, bandwidthMbps } = link): Sample[] {
  return Object.entries(totals).flatMap(([mode, values]) =>
    values.map((totalMs, index): Sample => {
      const isLegacy = mode === 'legacy';
      return {
        ...{ runId: 'r', sample: index + 1, order: 1, workload: 'app', mode, rttMs, bandwidthMbps, startedAt: '' },
        ...{ ok: true, error: undefined, warnings: undefined },
        ...{ pullMs: totalMs - 520, createMs: 20, runMs: 500, totalMs },
        ...{ wireBytes: isLegacy ? 100e6 : 5e6, wireRequests: isLegacy ? 8 : 20, imageBytes: 100e6 },
        ...{ layers: 4, lazyLayers: isLegacy ? 0 : 4 },
      };
    }),
  );
}

function verdictOn(samples: readonly Sample[]): string {
  const summary = summarize(samples, { workloads: ['app'], modes: modes.map(({ name }) => name) });
  const recordPath = 'results/bench/1/accesses-app.jsonl';
  const request = { summary, workload, modes, recordPath, containerdVersion: 'containerd example.org 1.7.24 abc' };
  return renderVerdict(request, createPaint(false));
}

const verdictOf = (totals: Totals) => verdictOn(samplesOf(totals));

test('the fastest mode, by how much, where it pays, and what to type next', limit, () => {
  const text = verdictOf({
    legacy: [10_000, 10_100, 9_900, 10_050, 9_950, 10_020],
    stargz: [2_000, 2_100, 1_900, 2_050, 1_950, 2_020],
    estargz: [1_000, 1_100, 900, 1_050, 950, 1_020],
  });
  assert.match(text, /^Verdict on registry\.example\/app:1, 30 ms RTT, 100 Mbit\/s\n/);
  assert.match(text, /\n {2}estargz is the fastest: ready in 1\.01 s, 9\.9\d?× as fast as legacy at 10\.0 s\.\n/);
  assert.match(text, /\n {2}6 rounds: 95 % interval 9\.\d×? to 11×, so it is more than chance\.\n/);
  assert.match(text, /\n {2}Until ready, estargz fetches 5\.0 MB of 100 MB, 5\.0 % of the image\.\n/);
  assert.match(text, /\n {2}Of legacy's start, 95 % is the pull\.\n/);
  assert.match(text, /\n {4}bandwidth +any +at 30 ms RTT\n {4}round trip +below \d+ ms +at 100 Mbit\/s\n/);
  assert.match(text, /\n {4}share read +below \d\d % +at both; here it is 5\.0 %\n/);
  const command =
    'npm run convert -- registry.example/app:1 registry.example/app:1-esgz ' +
    '--format estargz --record-in results/bench/1/accesses-app.jsonl';
  assert.ok(text.includes(`\n     ${command}\n`), text);
  assert.ok(text.includes('containerd 1.x') && text.includes('[plugins."io.containerd.grpc.v1.cri".containerd]'));
  assert.deepEqual(
    parseVerdict(text).map(({ kind }) => kind),
    ['heading', 'text', 'text', 'text', 'rows', 'heading', 'text', 'code', 'text', 'code'],
  );
  for (const line of text.split('\n')) assert.ok(line.length <= 80 || line.includes('npm run'), line);
});

test(
  'where legacy is the fastest, that is said with as much doubt as there is, and nothing is to be done',
  limit,
  () => {
    const text = verdictOf({ legacy: [1_000], stargz: [2_000], estargz: [1_050] });
    assert.match(
      text,
      /legacy is the fastest: ready in 1\.00 s\. The fastest lazy mode, estargz,\n {2}takes 1\.05 s, 0\.95× as fast\.\n/,
    );
    assert.match(text, /One round: too few for an interval, --samples 6 or more give one\./);
    assert.match(text, /Keep the image as it is/);
    assert.doesNotMatch(text, /npm run convert/);
  },
);

test('without legacy, or without any cell, nothing is made up', limit, () => {
  const text = verdictOf({ estargz: [1_000] });
  assert.match(text, /By how much is not known: legacy was not measured\./);
  assert.doesNotMatch(text, /pays, by a/);
  assert.doesNotMatch(verdictOf({}), /fastest|NaN|undefined/);
});

test('a run over several links has a verdict for each, which learn from each other', limit, () => {
  const near = samplesOf({ legacy: [10_000], estargz: [1_000] }, { ...link, rttMs: 0 });
  const far = samplesOf({ legacy: [10_200], estargz: [1_400] }, { ...link, rttMs: 100 });
  const text = verdictOn([...near, ...far]);
  assert.deepEqual(text.match(/^Verdict on .*$/gm), [
    'Verdict on registry.example/app:1, 0 ms RTT, 100 Mbit/s',
    'Verdict on registry.example/app:1, 100 ms RTT, 100 Mbit/s',
  ]);
  // 400 ms more for 100 ms: four round trips, so 9,000 / 4 and 8,800 / 4 + 100 from here, though there were 20 requests.
  assert.equal(text.match(/round trip +below 2300 ms/g)?.length, 2);
  assert.equal(text.match(/What to do next/g)?.length, 1);
});
