import { type BenchRun, readBenchRun } from '../../../measurements/bench-run.ts';
import { describeCommit } from '../../../measurements/format.ts';
import { type GateBounds, type GatedMetric, gatedMetrics, judge } from '../../../measurements/gate.ts';
import {
  compareRuns,
  compareWithin,
  describeConditions,
  describeNothing,
  type RunComparison,
} from '../../../measurements/run-comparison.ts';
import { renderChanges } from '../../bench/changes-table.ts';
import { HarnessError } from '../../cli/error.ts';
import { flag, optional, parseCommand } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parsePercent, UsageError } from '../../cli/quantity.ts';

const program = 'compare';
const usage = `Compares two runs of bench, or in one run made with --base the modes of both commits
npm run compare -- BASE HEAD [options]      directories: results/bench/<run-id>
npm run compare -- RUN [options]
  --fail-on A:5%,B:10%  exit 1 where more is taken than allowed: ${gatedMetrics.join(', ')}; total only of
                        a run made with --base, and only where the difference is significant
  --other-images        compares groups although their images differ`;
const table = {
  failOn: optional('A:5%', 'bounds', parseBounds),
  otherImages: flag('although their images differ'),
};

await runProgram({ name: program, usage, run });

async function run(argv: readonly string[]): Promise<boolean> {
  const { values, positionals } = parseCommand(argv, table);
  const [first, second, ...more] = positionals;
  if (first === undefined || more.length > 0) throw new UsageError('give BASE HEAD, or one RUN made with --base');
  const base = await readBenchRun(first);
  const head = second === undefined ? undefined : await readBenchRun(second);
  const comparison = head === undefined ? compareWithin(base.summary) : compareRuns(base, head, values);
  refuseNothing(comparison, base, head);
  for (const line of describeRuns(base, head)) say(line);
  say(`\n${renderChanges(comparison.changes)}`);
  for (const what of comparison.excluded) say(`not comparable: ${what}`);
  if (values.failOn === undefined) return true;
  const { faults, notes } = judge(comparison, values.failOn);
  for (const note of notes) say(`note: ${note}`);
  for (const fault of faults) say(`FAILED  ${fault}`);
  if (faults.length === 0) say('passed');
  return faults.length === 0;
}

function refuseNothing({ changes, excluded }: RunComparison, base: BenchRun, head: BenchRun | undefined): void {
  if (changes.length > 0) return;
  if (head === undefined) {
    throw new HarnessError('not-comparable', `${base.path} has no modes of another commit to compare with`, {
      remedy: 'give a second run, or make one with bench --base REF',
    });
  }
  const { message, remedy } = describeNothing(base, head, excluded);
  throw new HarnessError('not-comparable', message, { remedy });
}

function describeRuns(base: BenchRun, head: BenchRun | undefined): string[] {
  const describe = ({ path, environment }: BenchRun) => `${path}, ${describeCommit(environment)}`;
  if (head === undefined) return [`base and head, interleaved: ${describe(base)}`];
  const conditions = describeConditions(base, head);
  return [
    `base  ${describe(base)}`,
    `head  ${describe(head)}`,
    ...(conditions.length === 0 ? [] : [`head was measured on ${conditions.join(', ')}`]),
    'times are of two runs, so that what else changed between them counts as well',
  ];
}

/** `bytes:5%,total:20%` */
function parseBounds(option: string, text: string): GateBounds {
  const entries = text.split(',').map((item) => {
    const [metric = '', bound = ''] = item.trim().split(':');
    if (!gatedMetrics.includes(metric as GatedMetric)) {
      throw new UsageError(`${option}: unknown '${metric}'; ${gatedMetrics.join(', ')}, each with a bound: bytes:5%`);
    }
    return [metric, parsePercent(`${option} ${metric}`, bound)] as const;
  });
  return Object.fromEntries(entries);
}
