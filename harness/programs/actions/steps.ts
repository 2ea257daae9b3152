import { glob, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { HarnessError } from '../../cli/error.ts';
import { putComment } from './comment.ts';
import { addSummary, type Env, given, pathOf, required, setOutputs } from './github.ts';
import { logIn } from './login.ts';
import { ownImageArguments } from './own-image.ts';
import { parsePlan, planOf } from './plan.ts';
import { publishRun } from './publish.ts';

export interface NpmRun {
  /** Of package.json. */
  readonly script: string;
  readonly args: readonly string[];
  /** Mounts and containers need it. */
  readonly asRoot?: boolean;
}

export interface Surroundings {
  readonly env: Env;
  /** The project's directory. */
  readonly checkout: string;
  readonly signal: AbortSignal;
  /** Resolves to true if the script succeeded. */
  npm(run: NpmRun): Promise<boolean>;
  say(text: string): void;
}

/** Resolves to false if what it ran found something; rejects if it could not run. */
export type Step = (surroundings: Surroundings) => Promise<boolean>;

/** Where the runs of this workflow run lie, below the checkout. */
const measuredDir = 'results/actions';
const shardsDir = 'results/shards';
const branch = 'main';

/** What a `run:` of a workflow or of action.yml calls: `npm run actions -- NAME`. */
export const steps: Readonly<Record<string, Step>> = {
  plan: async ({ env, say }) => {
    const plan = planOf(env);
    say(`bench ${plan.arguments.join(' ')}, ${plan.shards.length} shards`);
    await setOutputs(env, {
      plan: JSON.stringify(plan),
      shards: JSON.stringify(plan.shards),
      registry: plan.registry ?? '',
      'is-published': String(plan.isPublished),
      base: plan.base ?? '',
    });
    return true;
  },

  login: async ({ env }) => {
    await logIn(env);
    return true;
  },

  prepare: ({ env, npm }) => {
    const { arguments: args, registry } = parsePlan(required(env, 'PLAN'));
    const workloads = args[args.indexOf('--workloads') + 1]!;
    const prepared = ['prepare', '--registry', registry!, '--workloads', workloads];
    return npm({ script: 'images', args: prepared, asRoot: true });
  },

  bench: ({ env, npm }) => {
    const args = [...parsePlan(required(env, 'PLAN')).arguments, '--shard', required(env, 'SHARD')];
    return npm({ script: 'bench', args: [...args, '--out', measuredDir], asRoot: true });
  },

  'bench-image': ({ env, npm }) => {
    const args = [...ownImageArguments(env), '--out', measuredDir];
    return npm({ script: 'bench', args, asRoot: true });
  },

  /** Of the shards that were downloaded, one run; of a run on this machine, that run. Its page becomes the summary. */
  report: async (surroundings) => {
    const { env, checkout, npm } = surroundings;
    const shards = await runsBelow(join(checkout, shardsDir));
    if (shards.length > 0 && !(await npm({ script: 'merge', args: [...shards, '--out', measuredDir] }))) return false;
    const run = await lastRun(checkout);
    const markdown = join(run, 'summary.md');
    if (!(await npm({ script: 'report', args: [run, '--markdown', markdown] }))) return false;
    await addSummary(env, await readFile(markdown, 'utf8'));
    await setOutputs(env, { run });
    return true;
  },

  comment: async ({ env, checkout, signal, say }) => {
    const markdown = await readFile(join(await lastRun(checkout), 'summary.md'), 'utf8');
    say(`comment: ${await putComment(env, given(env, 'COMMENT_NAME') ?? 'bench', markdown, signal)}`);
    return true;
  },

  /** Fails where more is taken than FAIL_ON allows: over an earlier run, or over the other commit of the same run. */
  gate: async ({ env, checkout, npm, say }) => {
    const failOn = given(env, 'FAIL_ON');
    if (failOn === undefined) return true;
    const baseline = pathOf(env, 'BASELINE');
    if (baseline === undefined && given(env, 'BASE') === undefined) {
      say('fail-on needs a baseline, and none is given: nothing is compared');
      return true;
    }
    const run = await lastRun(checkout);
    // A baseline is of the image as it was before the change.
    const compared = baseline === undefined ? [run] : [baseline, run, '--other-images'];
    return await npm({ script: 'compare', args: [...compared, '--fail-on', failOn] });
  },

  publish: async ({ checkout, npm, signal, say }) => {
    const path = await publishRun({ run: await lastRun(checkout), checkout, branch }, signal);
    say(`published ${path}`);
    return await npm({ script: 'site', args: [] });
  },
};

/** The action may be used several times in a job. */
async function lastRun(checkout: string): Promise<string> {
  const directory = join(checkout, measuredDir);
  const run = (await runsBelow(directory)).at(-1);
  if (run === undefined) throw new HarnessError('usage', `${directory} holds no run; the step before failed`);
  return run;
}

/** Directories with samples, at any depth, by name, which begins with the time. */
async function runsBelow(directory: string): Promise<string[]> {
  const runs: string[] = [];
  for await (const table of glob('**/samples.csv', { cwd: directory })) runs.push(join(directory, table, '..'));
  return runs.sort((one, other) => (basename(one) < basename(other) ? -1 : 1));
}
