import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { readBenchRun } from '../../measurements/bench-run.ts';
import { MeasurementError } from '../../measurements/error.ts';
import { loadRun } from '../run/load.ts';
import type { Run } from '../run/run.ts';
import { type ComparedRuns, compareForReport, comparisonJson, comparisonMarkdown } from './comparison.ts';
import { comparisonHtml } from './comparison-page.ts';
import { bencherJson, benchmarkActionJson, runJson } from './json.ts';
import { runMarkdown } from './markdown.ts';

const usage = `npm run report -- RUN [options]          what a run comes to
npm run report -- BEFORE AFTER [options]  what changed: change, interval and verdict per row
RUN is a directory, such as results/bench/<run-id>; FILE is - for standard output
  --markdown FILE          for a pull request or a job summary (- if no other is asked for)
  --json FILE              of one run as in summary.csv
  --html FILE              of two runs, a page with a picture and the table (npm run charts makes that of one)
  --benchmark-action FILE  of one run, customSmallerIsBetter of github-action-benchmark
  --bencher FILE           of one run, Bencher Metric Format
  --other-images           compares rows although their images differ`;

type Values = Readonly<Record<string, string | boolean | undefined>>;
type Format<T> = (subject: T) => string | Promise<string>;

const formatsOfOne: Readonly<Record<string, Format<Run>>> = {
  markdown: runMarkdown,
  json: runJson,
  'benchmark-action': benchmarkActionJson,
  bencher: bencherJson,
};
const formatsOfTwo: Readonly<Record<string, Format<ComparedRuns>>> = {
  markdown: comparisonMarkdown,
  json: comparisonJson,
  html: comparisonHtml,
};
const names = [...new Set([...Object.keys(formatsOfOne), ...Object.keys(formatsOfTwo)])];

const parsed = parseArguments();
if (typeof parsed === 'string') fail(parsed, 2);
else if (parsed.values.help) console.log(usage);
else await report(parsed.positionals, parsed.values);

async function report(paths: readonly string[], values: Values): Promise<void> {
  const [first, second, ...more] = paths;
  if (first === undefined || more.length > 0)
    return fail('give one run, or two to compare; npm run report -- --help', 2);
  const formats = second === undefined ? formatsOfOne : formatsOfTwo;
  const unknown = names.find((name) => values[name] !== undefined && formats[name] === undefined);
  if (unknown !== undefined) return fail(`--${unknown} is for ${second === undefined ? 'two runs' : 'one run'}`, 2);
  try {
    if (second === undefined) return await write(formatsOfOne, await loadRun(first), values);
    const [base, head] = [await readBenchRun(first), await readBenchRun(second)];
    await write(formatsOfTwo, compareForReport(base, head, { otherImages: values['other-images'] === true }), values);
  } catch (error) {
    if (!(error instanceof MeasurementError)) throw error;
    fail(`${error.message}${error.remedy === undefined ? '' : `; ${error.remedy}`}`, 1);
  }
}

/** In the formats that were asked for, or else Markdown on standard output. */
async function write<T>(formats: Readonly<Record<string, Format<T>>>, subject: T, values: Values): Promise<void> {
  const asked = Object.keys(formats).filter((name) => values[name] !== undefined);
  for (const name of asked.length === 0 ? ['markdown'] : asked) {
    const text = await formats[name]!(subject);
    const file = String(values[name] ?? '-');
    if (file === '-') process.stdout.write(text);
    else await writeOut(file, text);
  }
}

async function writeOut(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((cause: NodeJS.ErrnoException) => {
    throw new MeasurementError('write', `cannot write ${file} (${cause.code})`, { cause });
  });
}

/** The arguments, or what is wrong with them. */
function parseArguments() {
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        ...options,
        'other-images': { type: 'boolean' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return `${(error as Error).message.split('. ')[0]}; npm run report -- --help`;
  }
}

function fail(message: string, exitCode: number): void {
  console.error(`stargz-bench report: ${message}`);
  process.exitCode = exitCode;
}
