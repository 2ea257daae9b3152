import { access, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { HarnessError, lastLines } from '../cli/error.ts';
import { UsageError } from '../cli/quantity.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const gitLimitMs = 60_000;
const installLimitMs = 600_000;

/** Where another commit of this project is checked out, once it is. */
export interface BaseCheckout {
  readonly commit: string;
  readonly directory: string;
}

/** The commit that a branch, a tag or a part of a digest names in the repository of this code. Throws UsageError. */
export async function resolveBase(ref: string, stateDir: string, repository = root): Promise<BaseCheckout> {
  const { stdout, failed } = await git(repository, ['rev-parse', '--verify', '--end-of-options', `${ref}^{commit}`]);
  if (failed) throw new UsageError(`--base: '${ref}' is no commit of this repository; git fetch gets those of others`);
  return { commit: stdout.trim(), directory: join(resolve(stateDir), 'base', stdout.trim()) };
}

/**
 * Checks the commit out, with its dependencies: those of this code, where both lock the same ones, else installed by npm. A checkout is
 * kept for the next run, and those of other commits are removed. Throws HarnessError.
 */
export async function ensureCheckout(
  { commit, directory }: BaseCheckout,
  onStep: (detail: string) => void,
  signal: AbortSignal,
  repository = root,
): Promise<void> {
  const parent = dirname(directory);
  await mkdir(parent, { recursive: true });
  for (const other of await readdir(parent)) {
    if (other !== commit) await rm(join(parent, other), { recursive: true, force: true });
  }
  // The dependencies may be those of a checkout that has gone since.
  if (await exists(join(directory, 'node_modules'))) return;
  await rm(directory, { recursive: true, force: true });
  onStep(`checking out ${commit.slice(0, 7)}`);
  const aside = `${directory}.new`;
  await mkdir(aside);
  const archive = `${aside}.tar`;
  const { failed, stderr } = await git(repository, ['archive', `--output=${archive}`, commit], signal);
  if (failed) throw refuse(commit, `git archive: ${lastLines(stderr)}`);
  await execa('tar', ['-xf', archive, '-C', aside], { cancelSignal: signal, timeout: gitLimitMs });
  await rm(archive);
  const [ours, theirs] = await Promise.all([readLock(repository), readLock(aside)]);
  if (ours === theirs) await symlink(join(resolve(repository), 'node_modules'), join(aside, 'node_modules'));
  else await install(commit, aside, onStep, signal);
  await rename(aside, directory);
}

async function install(
  commit: string,
  directory: string,
  onStep: (detail: string) => void,
  signal: AbortSignal,
): Promise<void> {
  onStep(`installing what ${commit.slice(0, 7)} depends on`);
  const options = { cwd: directory, cancelSignal: signal, timeout: installLimitMs, reject: false } as const;
  const { failed, stderr } = await execa('npm', ['ci', '--no-audit', '--no-fund'], options);
  signal.throwIfAborted();
  if (failed) throw refuse(commit, `npm ci: ${lastLines(stderr)}`);
}

function refuse(commit: string, why: string): HarnessError {
  return new HarnessError('start', `cannot check out ${commit.slice(0, 7)}: ${why}`);
}

/** Git refuses a checkout of another user, which is what root sees under sudo. */
function git(repository: string, args: readonly string[], signal?: AbortSignal) {
  const safe = `safe.directory=${resolve(repository)}`;
  return execa('git', ['-c', safe, '-C', repository, ...args], {
    ...(signal === undefined ? {} : { cancelSignal: signal }),
    reject: false,
    stdin: 'ignore',
    timeout: gitLimitMs,
  });
}

async function readLock(directory: string): Promise<string> {
  return await readFile(join(directory, 'package-lock.json'), 'utf8').catch(() => '');
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
