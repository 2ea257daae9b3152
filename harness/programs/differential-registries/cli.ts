import { type Case, caseNamed, casesOf, sample, subjects } from '../../../testkit/registry-differential/cases.ts';
import type { Verdict } from '../../../testkit/registry-differential/run-case.ts';
import { runCases } from '../../../testkit/registry-differential/run-cases.ts';
import { Forecast } from '../../../testkit/registry-simulator/weather.ts';
import { number, optional, out, parseOptions, seed, selected, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { UsageError } from '../../cli/quantity.ts';
import { conclude } from '../../run/conclude.ts';
import { openResults } from '../../run/results.ts';
import { caseColumns, toRow } from './case-table.ts';
import { holdTo } from '../../../measurements/limit.ts';

const program = 'differential:registries';
const about = `Runs the registry client, the daemon's layers and the converter against a simulated registry with one or two faults of a table,
and checks for the right bytes or a clear error, bounded requests, and no secret sent to a wrong host`;
const table = {
  subjects: selected(
    'subject',
    subjects.map((name) => ({ name })),
    'the code under test',
  ),
  pairs: number('cases drawn for each subject; 0 for every fault and every pair', 0, 0, 1_000_000),
  seed: seed(1, 'of the cases drawn'),
  only: optional('NAME', 'one case by its name, to replay it', parseCaseName),
  out,
};

const secondsBetweenLines = 10;

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const cases = chooseCases(options);
  await using results = await openResults(
    { program, argv, outDir: options.out, seed: options.seed, details: { cases: cases.length } },
    signal,
  );
  const file = await results.openTable('cases', caseColumns);
  let done = 0;
  let faulty = 0;
  let saidMs = performance.now();
  const counts: Record<Verdict['outcome'], number> = { right: 0, refused: 0 };
  await runCases(cases, signal, async (verdict, one) => {
    done++;
    counts[verdict.outcome]++;
    await file.append(toRow(verdict, one));
    if (verdict.complaints.length > 0) {
      faulty++;
      say(`${verdict.name}\n  ${verdict.complaints.join('\n  ')}`);
    }
    if (performance.now() - saidMs < secondsBetweenLines * 1000) return;
    saidMs = performance.now();
    say(`${done} of ${cases.length}: ${counts.right} right, ${counts.refused} refused, ${faulty} faulty`);
  });
  say(`${done} cases: ${counts.right} right, ${counts.refused} refused with a clear error, ${faulty} faulty`);
  return await conclude(results, [holdTo('cases with a complaint', faulty, 0, 'cases')], { ...counts, faulty });
}

function chooseCases({ subjects: chosen, pairs, seed, only }: ReturnType<typeof parseOptions<typeof table>>): Case[] {
  const forecast = new Forecast(seed);
  const all = chosen.map(({ name }) => casesOf(name));
  if (only !== undefined) return [caseNamed(only)];
  return all.flatMap((cases) => (pairs === 0 ? cases : sample(cases, pairs, () => forecast.share())));
}

/** Throws UsageError if there is no such case. */
function parseCaseName(option: string, text: string): string {
  try {
    caseNamed(text);
    return text;
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}; names are in cases.csv of a run`);
  }
}
