import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { renderResult } from '../../harness/bench/summary-table.ts';
import { createPaint } from '../../harness/cli/terminal.ts';
import { type Environment, readEnvironment } from '../../measurements/environment.ts';
import { readSamples, type Sample } from '../../measurements/sample.ts';
import { summarize } from '../../measurements/summary.ts';
import { findPublishedFaults, findReferences } from './published.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const limit = { timeout: 60_000 };

test('every published figure leads to a commit in the history, made from a clean tree', limit, async () => {
  assert.deepEqual(await findPublishedFaults(root), []);
  const quoting = new Set((await findReferences(root)).map(({ place }) => place.split(':')[0]));
  assert.ok(quoting.has('README.md'), 'README.md quotes no published run');
});

test("README's table and figures are those of the run that it links", limit, async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const runs = new Set(readme.match(/results\/published\/bench\/[\w-]+/g));
  assert.equal(runs.size, 1, `README.md quotes one run of bench, not ${[...runs].join(', ') || 'none'}`);
  const directory = join(root, [...runs][0]!);
  const [samples, environment] = [await readSamples(directory), await readEnvironment(directory)];
  const expected = printed(samples, environment);
  assert.equal(
    await readFile(join(directory, 'summary.txt'), 'utf8'),
    expected,
    'summary.txt is not of its samples.csv',
  );
  const table = /```\n(Seconds from pull to ready[^`]*)```/.exec(readme)?.[1];
  assert.equal(table?.trimEnd(), expected.trimEnd(), 'README.md must hold summary.txt as it is');
  for (const { pattern, value } of quotes(samples, environment)) {
    const quoted = pattern.exec(readme)?.[1];
    if (quoted !== undefined) assert.equal(Number(quoted), value, `README.md, ${pattern}`);
  }
});

function printed(samples: readonly Sample[], { details }: Environment): string {
  const namesOf = (key: string) => (details[key] as readonly { readonly name: string }[]).map(({ name }) => name);
  const order = { workloads: namesOf('workloads'), modes: namesOf('modes') };
  return renderResult(summarize(samples, order), createPaint(false));
}

/** Figures of the run that README may state in words. */
function quotes(samples: readonly Sample[], { startedAt, endedAt }: Environment) {
  const maxMib = (key: 'daemonRssPeakKib' | 'keeperRssPeakKib') =>
    Math.round(Math.max(...samples.map((sample) => sample[key] ?? 0)) / 1024);
  const durationMin = Math.round((Date.parse(endedAt!) - Date.parse(startedAt)) / 60_000);
  return [
    { pattern: /at most (\d+) MiB of\s+RSS/, value: maxMib('daemonRssPeakKib') },
    { pattern: /(\d+) MiB for\s+the\s+small\s+process/, value: maxMib('keeperRssPeakKib') },
    { pattern: /run took (\d+) min/, value: durationMin },
  ];
}
