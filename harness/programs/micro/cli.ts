import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseFlags } from '../../cli/arguments.ts';
import { writeRecords } from '../../run/csv.ts';
import { parsePath } from '../../bench/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parseCount, UsageError } from '../../cli/quantity.ts';
import { discoverBenches } from './discover.ts';
import { type MicroResult, measureFile } from './measure.ts';
import { renderMicroTable } from './table.ts';

const usage = `Times the snapshotter's inner loops: npm run bench:micro -- [options]
  --filter TEXT   only tasks whose name contains TEXT
  --time MS       for each task                        (default 1000)
  --out DIR       micro-<time>.csv goes there          (default results)
  --list          the tasks' files, without running them`;

const root = fileURLToPath(new URL('../../..', import.meta.url));

await runProgram({ name: 'bench:micro', usage, run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const values = parseFlags(argv, {
    filter: { type: 'string' },
    time: { type: 'string', default: '1000' },
    out: { type: 'string', default: 'results' },
    list: { type: 'boolean', default: false },
  });
  const timeMs = parseCount('--time', values.time, 1, 600_000);
  const files = await discoverBenches(root);
  if (values.list) {
    for (const file of files) say(file.path);
    return true;
  }
  const results: MicroResult[] = [];
  for (const file of files) {
    if (signal.aborted) break;
    const own = await measureFile(file, { timeMs, filter: values.filter }, signal);
    results.push(...own);
    process.stdout.write(renderMicroTable(file.path, own));
  }
  if (results.length === 0) throw new UsageError('no task matches; --list shows the files');
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const path = join(parsePath('--out', values.out), `micro-${stamp}.csv`);
  await writeRecords(path, results.map(toRecord));
  say(`results  ${path}`);
  return results.every((result) => result.error === undefined);
}

function toRecord(result: MicroResult) {
  return {
    file: result.file,
    task: result.task,
    samples: result.sampleCount,
    median_us: result.medianUs,
    p99_us: result.p99Us,
    mean_margin_percent: result.marginPercent,
    per_second: result.perSecond,
    error: result.error,
  };
}
