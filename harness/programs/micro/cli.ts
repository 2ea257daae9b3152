import { fileURLToPath } from 'node:url';
import type { Columns } from '../../../measurements/table.ts';
import { flag, number, optional, out, parseOptions, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { UsageError } from '../../cli/quantity.ts';
import { conclude } from '../../run/conclude.ts';
import { openResults } from '../../run/results.ts';
import { discoverBenches } from './discover.ts';
import { type MicroResult, measureFile } from './measure.ts';
import { renderMicroTable } from './table.ts';

const program = 'bench:micro';
const table = {
  filter: optional('TEXT', 'only tasks whose name contains TEXT', (_, text) => text),
  time: number('milliseconds for each task', 1000, 1, 600_000),
  out,
  list: flag("the tasks' files, without running them"),
};

const columns: Columns<MicroResult> = {
  file: 'text',
  task: 'text',
  sampleCount: 'integer',
  medianUs: 'number',
  p99Us: 'number',
  marginPercent: 'number',
  perSecond: 'number',
  error: 'text',
};

const root = fileURLToPath(new URL('../../..', import.meta.url));

await runProgram({ name: program, usage: usageOf(program, "Times the snapshotter's inner loops", table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const files = await discoverBenches(root);
  if (options.list) {
    for (const file of files) say(file.path);
    return true;
  }
  await using results = await openResults({ program, argv, outDir: options.out }, signal);
  const summary = await results.openTable('summary', columns);
  const measured: MicroResult[] = [];
  for (const file of files) {
    signal.throwIfAborted();
    const own = await measureFile(file, { timeMs: options.time, filter: options.filter }, signal);
    for (const result of own) await summary.append(result);
    measured.push(...own);
    process.stdout.write(renderMicroTable(file.path, own));
  }
  if (measured.length === 0) throw new UsageError('no task matches; --list shows the files');
  return (await conclude(results)) && measured.every((result) => result.error === undefined);
}
