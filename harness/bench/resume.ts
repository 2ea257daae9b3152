import { dirname, resolve } from 'node:path';
import { UsageError } from '../cli/quantity.ts';
import { withoutPlaces } from '../run/command-line.ts';
import type { EarlierRun } from '../run/earlier-run.ts';
import { unmeasured } from '../run/run.ts';
import { type Options, parseBenchOptions } from './options.ts';
import type { Selection } from './selection.ts';
import { tracedStarts, untracedStarts } from './timeline.ts';

/** What may stand beside --resume; everything else is as it was. */
const allowed = /^(bench|--resume=.*|--resume-anyway|--dry-run)$/;

/** What a complete run says; undefined where it lacks cells or, of those that were asked for, traced starts. */
export async function describeComplete(
  { path, environment, samples }: EarlierRun,
  selection: Selection,
  { timeline, shard }: Options,
): Promise<string | undefined> {
  const starts = timeline ? tracedStarts(selection, shard) : [];
  const lacking = [...unmeasured(selection.cells, samples), ...(await untracedStarts(starts, path))];
  if (environment.status !== 'complete' || lacking.length > 0) return undefined;
  return `complete: ${path} has all of its ${samples.length} cells${timeline ? ` and ${starts.length} traced starts` : ''}`;
}

/** The options of the earlier run, with its seed. Throws UsageError where others are given. */
export function resumeOptions(argv: readonly string[], asked: Options, earlier: EarlierRun): Options {
  const given = withoutPlaces(argv).filter(
    (argument, index, all) => argument !== '--resume' && all[index - 1] !== '--resume',
  );
  const other = given.find((argument) => !allowed.test(argument));
  if (other !== undefined) {
    throw new UsageError(`--resume takes the options of the run; leave out ${other}`);
  }
  const { dryRun, resume, resumeAnyway, stateDir } = asked;
  return {
    ...parseBenchOptions(earlier.argv),
    seed: earlier.environment.seed ?? undefined,
    ...{ dryRun, resume, resumeAnyway, stateDir },
    outDir: dirname(dirname(resolve(earlier.path))),
  };
}
