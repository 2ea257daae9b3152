import { drawCharts } from '../../../charts/draw.ts';
import { type BenchRun, readBenchRun } from '../../../measurements/bench-run.ts';
import { mergeRuns } from '../../../measurements/merged-run.ts';
import { sampleColumns } from '../../../measurements/sample.ts';
import { summarize } from '../../../measurements/summary.ts';
import { summaryColumns, summaryRows } from '../../../measurements/summary-rows.ts';
import { readTimeline, timelineColumns } from '../../../measurements/timeline.ts';
import { stringifyTable } from '../../../measurements/table.ts';
import { renderResult } from '../../bench/summary-table.ts';
import { out, parseCommand } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { UsageError } from '../../cli/quantity.ts';
import { createPaint, formatPath } from '../../cli/terminal.ts';
import { createResultDir, removeResultDir, writeResultFile } from '../../run/result-dir.ts';

const usage = `Puts the shards of one plan (bench --shard I/N) together as one run
npm run merge -- RUN RUN... [options]       directories: results/bench/<run-id>
  --out DIR  results: DIR/bench/<run-id>/ (default results)`;
const table = { out };

await runProgram({ name: 'merge', usage, run });

async function run(argv: readonly string[]): Promise<boolean> {
  const { values, positionals } = parseCommand(argv, table);
  const [first, ...rest] = await Promise.all(positionals.map(readBenchRun));
  if (first === undefined) throw new UsageError('give the directories of the runs to merge');
  const path = await write([first, ...rest], values.out);
  for (const file of await drawCharts(path)) if (file.endsWith('.html')) say(`report   ${formatPath(file)}`);
  return true;
}

async function write(runs: readonly [BenchRun, ...BenchRun[]], outDir: string): Promise<string> {
  const { runId, path } = await createResultDir(outDir, 'bench', new Date());
  try {
    const { environment, samples, missingRounds } = mergeRuns(runs, runId);
    const { workloads, modes } = runs[0].summary;
    const summary = summarize(samples, { workloads, modes });
    const text = renderResult(summary, createPaint(false));
    const failedCount = samples.filter(({ ok }) => !ok).length;
    const timeline = (await Promise.all(runs.map((part) => readTimeline(part.path)))).flat();
    const tracedStarts = timeline.filter(({ kind }) => kind === 'ready').length;
    const details = {
      ...environment.details,
      ...{ sampleCount: samples.length, failedCount, drift: summary.drift ?? null },
      ...(tracedStarts === 0 ? {} : { tracedStarts }),
    };
    if (timeline.length > 0) await writeResultFile(path, 'timeline.csv', stringifyTable(timelineColumns, timeline));
    await writeResultFile(path, 'samples.csv', stringifyTable(sampleColumns, samples));
    await writeResultFile(path, 'summary.csv', stringifyTable(summaryColumns, summaryRows(summary)));
    await writeResultFile(path, 'summary.txt', text);
    await writeResultFile(path, 'environment.json', `${JSON.stringify({ ...environment, details }, null, 2)}\n`);
    say(text);
    if (missingRounds.length > 0) say(`lacks    rounds ${missingRounds.join(', ')} of ${environment.details.samples}`);
    say(`results  ${formatPath(path)}/, of ${runs.length} runs`);
    return path;
  } catch (error) {
    await removeResultDir(path);
    throw error;
  }
}
