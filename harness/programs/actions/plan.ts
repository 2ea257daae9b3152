import { UsageError } from '../../cli/quantity.ts';
import { type Env, given, required } from './github.ts';

/** What the jobs of a workflow run do. */
export interface ActionsPlan {
  /** Of `npm run bench`, the same in every shard. */
  readonly arguments: readonly string[];
  /** Values of --shard. */
  readonly shards: readonly string[];
  /** The registry that the images are pushed to first; undefined: each shard makes its own. */
  readonly registry: string | undefined;
  /** Whether the result is committed to results/published and shown on the site. */
  readonly isPublished: boolean;
  /** The commit that a pull request is compared with. */
  readonly base: string | undefined;
}

const maxShards = 20;

/** Small enough to answer a pull request within half an hour. */
const forPullRequest = {
  WORKLOADS: 'python,redis',
  MODES: 'legacy,estargz',
  SAMPLES: '6',
  SHARDS: '1',
  TIMELINE: 'false',
} as const;
/** Weekly, and on request without inputs: what README's first screen is made of. */
const usual = { WORKLOADS: '@default', SAMPLES: '10', SHARDS: '2', TIMELINE: 'true' } as const;

const options = {
  WORKLOADS: '--workloads',
  MODES: '--modes',
  SAMPLES: '--samples',
  RTT: '--rtt',
  BANDWIDTH: '--bandwidth',
} as const;

/** From the event and the workflow's inputs, which are variables of the same names. Throws UsageError. */
export function planOf(env: Env): ActionsPlan {
  const isPullRequest = required(env, 'GITHUB_EVENT_NAME') === 'pull_request';
  const defaults: Partial<Record<string, string>> = isPullRequest ? forPullRequest : usual;
  const inputOf = (name: string): string | undefined => given(env, name) ?? defaults[name];
  const chosen = Object.entries(options).flatMap(([name, option]) => {
    const value = inputOf(name);
    return value === undefined ? [] : [option, value];
  });
  // A login is what tells a fork, or a pull request from one, from a repository that may push images.
  const registry = given(env, 'REGISTRY_USER') && !isPullRequest ? given(env, 'REGISTRY') : undefined;
  // All shards are of one plan.
  const seed = String(Number(BigInt(required(env, 'GITHUB_RUN_ID')) % 2n ** 32n));
  const base = isPullRequest ? given(env, 'BASE') : undefined;
  return {
    arguments: [
      ...chosen,
      ...(inputOf('TIMELINE') === 'true' ? ['--timeline'] : []),
      ...['--seed', seed],
      ...(registry === undefined ? [] : ['--registry', registry]),
      ...(base === undefined ? [] : ['--base', base]),
    ],
    shards: shardsOf(inputOf('SHARDS')!),
    registry,
    isPublished: !isPullRequest && required(env, 'GITHUB_REF') === 'refs/heads/main',
    base,
  };
}

/** Plans of another step, from its output. */
export function parsePlan(text: string): ActionsPlan {
  return JSON.parse(text) as ActionsPlan;
}

function shardsOf(text: string): string[] {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > maxShards)
    throw new UsageError(`SHARDS needs a number from 1 to ${maxShards}, not '${text}'`);
  return Array.from({ length: count }, (_, index) => `${index + 1}/${count}`);
}
