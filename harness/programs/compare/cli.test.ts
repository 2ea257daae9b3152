import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { type Sample, sampleColumns } from '../../../measurements/sample.ts';
import { stringifyTable } from '../../../measurements/table.ts';
import { environmentOf } from '../../../measurements/testing/runs.ts';
import { failed, timed } from '../../../measurements/testing/samples.ts';

const limit = { timeout: 60_000 };
const program = fileURLToPath(new URL('cli.ts', import.meta.url));
const rows = (changed: Partial<Sample> = {}) =>
  Array.from({ length: 6 }, (_, index) =>
    timed(1000 + index, index + 1, { wireBytes: 1000, wireRequests: 10, ...changed }),
  );

interface Files {
  readonly samples?: readonly Sample[] | string;
  readonly environment?: object | string;
}

/** Writes runs as they would be found, or spoiled, and compares them. */
async function compare(t: TestContext, runs: Readonly<Record<string, Files>>, ...options: readonly string[]) {
  const directory = await mkdtemp(join(tmpdir(), 'stargz-bench-compare-'));
  t.after(() => rm(directory, { recursive: true }));
  for (const [name, { samples = rows(), environment = environmentOf() }] of Object.entries(runs)) {
    await mkdir(join(directory, name));
    const csv = typeof samples === 'string' ? samples : stringifyTable(sampleColumns, samples);
    const json = typeof environment === 'string' ? environment : JSON.stringify(environment);
    await writeFile(join(directory, name, 'samples.csv'), csv);
    await writeFile(join(directory, name, 'environment.json'), json);
  }
  const argv = [program, ...Object.keys(runs), ...options];
  const { exitCode, stdout, stderr } = await execa(process.execPath, argv, { cwd: directory, reject: false });
  return { exitCode, stdout, stderr };
}

test('runs that take the same pass, and one that takes more fails with the row that does', limit, async (t) => {
  const bounds = ['--fail-on', 'bytes:5%,requests:10%,total:20%'];
  const same = await compare(t, { base: {}, head: {} }, ...bounds);
  assert.equal(same.exitCode, 0, same.stderr);
  assert.match(same.stdout, /^base {2}base, no commit\nhead {2}head, no commit\n/);
  assert.match(same.stdout, /\npython +estargz +1\.00 +1\.00 +\+0\.0 % .* no difference shown +\+0\.0 % +\+0\.0 %\n/);
  assert.match(same.stdout, /\nnote: times of two runs are not judged: .*\npassed$/);
  const more = await compare(t, { base: {}, head: { samples: rows({ wireBytes: 1200 }) } }, ...bounds);
  assert.equal(more.exitCode, 1);
  assert.match(more.stdout, /\nFAILED {2}python estargz, 30 ms RTT, 200 Mbit\/s: bytes \+20 %, at most \+5\.0 %$/);
  const unasked = await compare(t, { base: {}, head: { samples: rows({ wireBytes: 1200 }) } });
  assert.equal(unasked.exitCode, 0);
});

const head = environmentOf({ machine: { hostname: 'another' } });
const spoiled: readonly [string, Readonly<Record<string, Files>>, RegExp][] = [
  [
    'another schema',
    { base: { environment: { ...environmentOf(), schema: 9 } }, head: {} },
    /^compare: base\/environment\.json: schema 9, this version reads 1; read it with the version of stargz-bench that wrote it/,
  ],
  [
    'no JSON',
    { base: { environment: '{' }, head: {} },
    /^compare: base\/environment\.json: not JSON; restore the file as it was written, or run the program again$/,
  ],
  ['no rows', { base: {}, head: { samples: [] } }, /^compare: head\/samples\.csv has no rows; run the program again$/],
  [
    'nothing at all',
    { base: {}, head: { samples: '' } },
    /^compare: head\/samples\.csv has no rows; run the program again$/,
  ],
  [
    'missing columns',
    { base: {}, head: { samples: 'run_id,sample,order,workload,ok\nr1,1,1,python,true\n' } },
    /^compare: head\/samples\.csv lacks the column mode, started_at; restore the file as it was written, or run the program again$/,
  ],
  [
    'no times, though the cells succeeded',
    { base: {}, head: { samples: stringifyTable(sampleColumns, rows()).replaceAll('total_ms', 'sum_ms') } },
    /^compare: head\/samples\.csv has no total_ms of python estargz, sample 1, which succeeded; restore the file/,
  ],
  [
    'rows cut short',
    { base: {}, head: { samples: stringifyTable(sampleColumns, rows()).slice(0, -40) } },
    /^compare: head\/samples\.csv is not a table of results: Invalid Record Length/,
  ],
  [
    'error rows only',
    { base: {}, head: { samples: [failed(1), failed(2)] } },
    /^compare: all 2 samples of head failed, the first python estargz: timed out; repair that and run bench again$/,
  ],
  [
    'other links',
    { base: {}, head: { samples: rows({ rttMs: 100 }) } },
    /^compare: cannot compare base with head: python estargz, 100 ms RTT, 200 Mbit\/s: not in base, and 1 more; measure both with the same workloads, modes and link$/,
  ],
  [
    'other images',
    { base: { samples: rows({ image: 'r:1/python:1' }) }, head: { samples: rows({ image: 'r:1/python:2' }) } },
    /^compare: cannot compare base with head: python estargz, .*: another image; add --other-images/,
  ],
  [
    'another program',
    { base: { environment: environmentOf({ program: 'bench:pull' }) } },
    /base is a run of bench:pull/,
  ],
  ['one run without --base', { base: {} }, /^compare: base has no modes of another commit .* bench --base REF$/],
];
for (const [what, runs, message] of spoiled) {
  test(`one line says what is wrong, and nothing is compared: ${what}`, limit, async (t) => {
    const { exitCode, stdout, stderr } = await compare(t, runs, '--fail-on', 'bytes:5%');
    assert.equal(exitCode, 1);
    assert.equal(stdout, '');
    assert.match(stderr, message);
    assert.ok(!stderr.includes('\n'), stderr);
  });
}

test('another machine is said, and bounds that cannot be read are wrong usage', limit, async (t) => {
  const moved = await compare(t, { base: {}, head: { environment: head } });
  assert.match(moved.stdout, /\nhead was measured on another machine\n/);
  for (const [bounds, message] of [
    ['bits:5%', /unknown 'bits'; bytes, requests, total, each with a bound: bytes:5%/],
    ['bytes', /--fail-on bytes needs a percentage like 5%, at most 1000%, not ''/],
  ] as const) {
    const { exitCode, stderr } = await compare(t, { base: {}, head: {} }, '--fail-on', bounds);
    assert.equal(exitCode, 2);
    assert.match(stderr, message);
  }
});
