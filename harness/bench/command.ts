import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { describeCommit, formatLink } from '../../measurements/format.ts';
import { type BenchResult, describeLinks, runBench } from './bench.ts';
import { describeComplete, resumeOptions } from './resume.ts';
import { type Selection, selectCells } from './selection.ts';
import { type ExitCode, reportFailure, signalName } from '../cli/failure.ts';
import { compareWithin } from '../../measurements/run-comparison.ts';
import { renderChanges } from './changes-table.ts';
import { helpText } from './help.ts';
import { renderVerdict } from './image-verdict.ts';
import { type Options, parseBenchOptions } from './options.ts';
import { type KnownModes, selectModes } from '../run/known-modes.ts';
import { readEarlierRun } from '../run/earlier-run.ts';
import { createProgress, type ProgressOutput, usesColor } from '../progress/progress.ts';
import type { Dependencies } from './dependencies.ts';
import { renderShares } from './shares-table.ts';
import { renderResult } from './summary-table.ts';
import { tracedStarts } from './timeline.ts';
import { createPaint, formatPath } from '../cli/terminal.ts';

export interface Surroundings {
  readonly stdout: ProgressOutput;
  readonly stderr: ProgressOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts with `Interrupted`. */
  readonly signal: AbortSignal;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/** Runs one command line. Never rejects: a failure is one line on stderr and an exit code. */
export async function runCommand(
  argv: readonly string[],
  dependencies: Dependencies,
  around: Surroundings,
): Promise<ExitCode> {
  try {
    const options = parseBenchOptions(argv);
    switch (options.command) {
      case 'help':
        around.stdout.write(
          helpText(dependencies.workloads, dependencies.defaultWorkloads, await dependencies.readModes(undefined)),
        );
        return 0;
      case 'list':
        around.stdout.write(listText(dependencies, await dependencies.readModes(options.peersPath)));
        return 0;
      case 'install':
        return await install(options, dependencies, around);
      case 'bench':
        return await bench(argv, options, dependencies, around);
    }
  } catch (error) {
    return reportFailure('stargz-bench', error, around);
  }
}

async function install(options: Options, dependencies: Dependencies, around: Surroundings): Promise<ExitCode> {
  const known = await dependencies.readModes(options.peersPath);
  const request = { forTests: options.forTests, modes: options.modes ? selectModes(known, options.modes) : [] };
  const missing = await dependencies.missingPackages(request);
  if (options.dryRun || missing.length === 0) {
    around.stdout.write(missing.length === 0 ? 'nothing to install\n' : `would install: ${missing.join(' ')}\n`);
    return 0;
  }
  const progress = createProgress(around.stderr, around.env, around.now);
  try {
    await dependencies.ensurePackages(request, progress, around.signal);
  } finally {
    progress.end();
  }
  around.stdout.write(`installed: ${missing.join(' ')}\n`);
  return 0;
}

async function bench(
  argv: readonly string[],
  asked: Options,
  dependencies: Dependencies,
  around: Surroundings,
): Promise<ExitCode> {
  const earlier = asked.resume === undefined ? undefined : await readEarlierRun(asked.resume);
  const options = earlier === undefined ? asked : resumeOptions(argv, asked, earlier);
  const selection = await selectCells(options, dependencies, () => randomInt(2 ** 32));
  if (options.dryRun) {
    around.stdout.write(await dryRunText(options, dependencies, selection));
    return 0;
  }
  const complete = earlier && (await describeComplete(earlier, selection, options));
  if (complete !== undefined) {
    around.stdout.write(`${complete}\n`);
    return 0;
  }
  const progress = createProgress(around.stderr, around.env, around.now);
  const onAbort = () =>
    progress.warn(`${signalName(around.signal)}: stopping and cleaning up, samples measured so far are kept`);
  around.signal.addEventListener('abort', onAbort, { once: true });
  let result: BenchResult;
  try {
    result = await runBench(
      { argv: commandArguments(argv), options, selection, earlier },
      dependencies,
      progress,
      around.signal,
    );
  } finally {
    around.signal.removeEventListener('abort', onAbort);
    progress.end();
  }
  const paint = createPaint(usesColor(around.stdout, around.env));
  around.stdout.write(`\n${renderResult(result.summary, paint)}\n`);
  // The verdict on a single image has both figures.
  const shares = result.summary.workloads.length === 1 && result.verdict ? '' : renderShares(result.summary, paint);
  if (shares !== '') around.stdout.write(`${shares}\n`);
  const { changes } = compareWithin(result.summary);
  if (changes.length > 0) around.stdout.write(`Against ${options.base}\n\n${renderChanges(changes)}\n`);
  if (result.verdict !== undefined) around.stdout.write(`${renderVerdict(result.verdict, paint)}\n`);
  around.stdout.write(closingText(result));
  if (result.aborted) return 130;
  return result.samples.every((sample) => sample.ok) ? 0 : 1;
}

function closingText(result: BenchResult): string {
  const failed = result.samples.filter((sample) => !sample.ok);
  const [first] = failed;
  const lines = [`results  ${formatPath(result.results.path)}/, ${describeCommit(result.results.environment)}`];
  const chart = result.charts.find((path) => path.endsWith('.html')) ?? result.charts[0];
  if (chart !== undefined) lines.push(`report   ${formatPath(chart)}`);
  if (result.stopped !== undefined) lines.push(`ended    ${result.stopped}`);
  if (first !== undefined) {
    lines.push(
      `failed   ${failed.length} of ${result.samples.length} cells, first: ${first.workload} ${first.mode}: ${first.error}`,
    );
  }
  const resume = `npm run bench -- --resume ${formatPath(result.results.path)}`;
  if (result.untracedCount > 0) {
    const count = result.untracedCount === 1 ? '1 start is' : `${result.untracedCount} starts are`;
    lines.push(`timeline ${count} not traced; try again with ${resume}`);
  }
  if (result.aborted) lines.push(`stopped  after ${result.samples.length} cells; go on with ${resume}`);
  return `${lines.join('\n')}\n`;
}

/** The arguments after the command's name, which npm's script supplies. */
function commandArguments(argv: readonly string[]): readonly string[] {
  return argv.filter((argument, index) => !(index === 0 && argument === 'bench'));
}

function listText(dependencies: Dependencies, modes: KnownModes): string {
  const first = modes.all.filter((mode) => !mode.name.includes('+'));
  const groups = Object.entries(modes.groups).map(([name, members]) => ({ name, title: members.join(', ') }));
  const width = Math.max(...[...dependencies.workloads, ...first].map((item) => item.name.length)) + 2;
  const lines = (items: readonly { readonly name: string; readonly title: string }[]) =>
    items.map((item) => `  ${item.name.padEnd(width)}${item.title}`);
  const byCategory = Map.groupBy(dependencies.workloads, ({ category }) => category);
  const workloadLines = [...byCategory].flatMap(([category, items]) => [
    `Workloads, @${category}`,
    ...lines(items),
    '',
  ]);
  const defaults = dependencies.defaultWorkloads.map(({ name }) => name).join(', ');
  const others = first.filter((mode) => !modes.defaults.includes(mode));
  const moreModes = others.length > 0 ? ['', 'More modes, when named', ...lines([...others, ...groups])] : [];
  const body = [
    ...workloadLines,
    `By default ${defaults} (@default)`,
    '',
    'Modes',
    ...lines(modes.defaults),
    ...moreModes,
  ];
  return `${body.join('\n')}\n`;
}

async function dryRunText(options: Options, dependencies: Dependencies, selection: Selection): Promise<string> {
  const missing = await dependencies.missingPackages({ forTests: false, ...selection });
  const modeWidth = Math.max(10, ...selection.modes.map((mode) => mode.name.length + 2));
  const lines = [
    `packages   ${missing.length === 0 ? 'all there' : `would install ${missing.join(' ')}`}`,
    `link       ${describeLinks(options)}`,
    `state      ${resolve(options.stateDir)}`,
    `results    ${resolve(options.outDir)}/bench/<run-id>/`,
    `seed       ${selection.seed}`,
    ...(options.timeline
      ? [`timeline   ${tracedStarts(selection, options.shard).length} traced starts after the cells`]
      : []),
    `cells      ${selection.cells.length}, in this order:`,
    ...selection.cells.map(
      (cell) =>
        `  ${String(cell.order).padStart(4)}  ${cell.workload.name.padEnd(12)}${cell.mode.name.padEnd(modeWidth)}sample ${cell.sample}${options.links.length === 1 ? '' : `  ${formatLink(cell.link!)}`}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}
