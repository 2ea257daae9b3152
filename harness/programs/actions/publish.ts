import { cp, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { HarnessError } from '../../cli/error.ts';

export interface PublishRequest {
  /** The directory of a run of `bench`. */
  readonly run: string;
  /** The working tree, with a remote `origin` that has `branch`. */
  readonly checkout: string;
  readonly branch: string;
}

const limitMs = 120_000;
const attempts = 5;
const author = {
  GIT_AUTHOR_NAME: 'github-actions[bot]',
  GIT_AUTHOR_EMAIL: '41898282+github-actions[bot]@users.noreply.github.com',
};
const identity = {
  ...author,
  GIT_COMMITTER_NAME: author.GIT_AUTHOR_NAME,
  GIT_COMMITTER_EMAIL: author.GIT_AUTHOR_EMAIL,
};

/** Commits the run to results/published/bench and pushes; others may push meanwhile. Returns the run's path in the tree. */
export async function publishRun({ run, checkout, branch }: PublishRequest, signal: AbortSignal): Promise<string> {
  if (!(await readdir(run)).includes('samples.csv')) throw new HarnessError('usage', `${run} holds no samples.csv`);
  const path = join('results/published/bench', basename(run));
  const git = (...args: string[]) =>
    execa('git', args, { cwd: checkout, env: identity, timeout: limitMs, cancelSignal: signal, reject: false });
  await cp(run, join(checkout, path), { recursive: true });
  const committed = await inOrder([
    () => git('add', '--force', path),
    () => git('commit', '--quiet', '--message', `results: bench ${basename(run)}`),
  ]);
  if (committed !== undefined) throw new HarnessError('cleanup', `${path} was not committed: ${committed}`);
  let refused: string | undefined;
  for (let attempt = 0; attempt < attempts; attempt++) {
    refused = await inOrder([
      () => git('pull', '--quiet', '--rebase', 'origin', branch),
      () => git('push', '--quiet', 'origin', `HEAD:${branch}`),
    ]);
    if (refused === undefined) return path;
  }
  throw new HarnessError('network', `${path} was not pushed to ${branch} after ${attempts} attempts: ${refused}`);
}

/** Undefined, or what the first command that failed said. */
async function inOrder(
  commands: readonly (() => Promise<{ readonly failed: boolean; readonly stderr?: unknown }>)[],
): Promise<string | undefined> {
  for (const command of commands) {
    const { failed, stderr } = await command();
    if (failed) return String(stderr).trim().split('\n').at(-1);
  }
  return undefined;
}
