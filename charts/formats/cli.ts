import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { MeasurementError } from '../../measurements/error.ts';
import { loadRun } from '../run/load.ts';
import type { Run } from '../run/run.ts';
import { bencherJson, benchmarkActionJson, runJson } from './json.ts';
import { runMarkdown } from './markdown.ts';

const usage = `npm run report -- RUN [options]     RUN is a directory, such as results/bench/<run-id>
Says what a run comes to, as Markdown, and in the formats of others; FILE is - for standard output
  --markdown FILE          for a pull request or a job summary (- if no other is asked for)
  --json FILE              verdict and rows, as in summary.csv
  --benchmark-action FILE  customSmallerIsBetter of github-action-benchmark
  --bencher FILE           Bencher Metric Format`;

const formats: Readonly<Record<string, (run: Run) => string>> = {
  markdown: runMarkdown,
  json: runJson,
  'benchmark-action': benchmarkActionJson,
  bencher: bencherJson,
};

const parsed = parseArguments();
if (typeof parsed === 'string') fail(parsed, 2);
else if (parsed.values.help) console.log(usage);
else if (parsed.positionals.length !== 1) fail('give one run; npm run report -- --help', 2);
else await report(parsed.positionals[0]!, parsed.values);

async function report(path: string, values: Readonly<Record<string, string | boolean | undefined>>): Promise<void> {
  const asked = Object.keys(formats).filter((name) => values[name] !== undefined);
  try {
    const run = await loadRun(path);
    for (const name of asked.length === 0 ? ['markdown'] : asked) {
      const text = formats[name]!(run);
      const file = String(values[name] ?? '-');
      if (file === '-') process.stdout.write(text);
      else await writeOut(file, text);
    }
  } catch (error) {
    if (!(error instanceof MeasurementError)) throw error;
    fail(`${error.message}${error.remedy === undefined ? '' : `; ${error.remedy}`}`, 1);
  }
}

async function writeOut(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((cause: NodeJS.ErrnoException) => {
    throw new MeasurementError('write', `cannot write ${file} (${cause.code})`, { cause });
  });
}

/** The arguments, or what is wrong with them. */
function parseArguments() {
  const options = Object.fromEntries(Object.keys(formats).map((name) => [name, { type: 'string' as const }]));
  try {
    return parseArgs({
      allowPositionals: true,
      options: { ...options, help: { type: 'boolean', short: 'h', default: false } },
    });
  } catch (error) {
    return `${(error as Error).message.split('. ')[0]}; npm run report -- --help`;
  }
}

function fail(message: string, exitCode: number): void {
  console.error(`stargz-bench report: ${message}`);
  process.exitCode = exitCode;
}
