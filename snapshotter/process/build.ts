import { readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

export interface Build {
  readonly name: string;
  readonly version: string;
  /** undefined where the sources are neither in a clone nor in an image whose build recorded it. */
  readonly commit: string | undefined;
}

/** Written by an image build, since the image does not contain the clone: one line, the commit. */
export const commitFileName = '.commit';

const commitPattern = /^[0-9a-f]{40}$/;

/** What the program in the directory of a package.json is. */
export function readBuild(packageDir = join(import.meta.dirname, '../..')): Build {
  const { name, version } = JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8')) as Build;
  return { name, version, commit: readCommit(packageDir) };
}

/** From the files of git (gitrepository-layout(5)): git itself is not installed where the daemon runs. */
function readCommit(directory: string): string | undefined {
  const recorded = readLine(join(directory, commitFileName));
  if (recorded !== undefined) return commitPattern.test(recorded) ? recorded : undefined;
  const gitDir = findGitDir(directory);
  const head = gitDir === undefined ? undefined : readLine(join(gitDir, 'HEAD'));
  if (gitDir === undefined || head === undefined) return undefined;
  const ref = /^ref: (\S+)$/.exec(head)?.[1];
  const commit = ref === undefined ? head : readRef(gitDir, ref);
  return commit !== undefined && commitPattern.test(commit) ? commit : undefined;
}

/** `.git` is a directory, or in a worktree a file that names it. */
function findGitDir(directory: string): string | undefined {
  const path = join(directory, '.git');
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isDirectory()) return found && path;
  const target = /^gitdir: (.+)$/.exec(readLine(path) ?? '')?.[1];
  return target === undefined ? undefined : resolve(dirname(path), target);
}

/** Refs of a worktree are those of the repository that its `commondir` names. */
function readRef(gitDir: string, ref: string): string | undefined {
  const common = resolve(gitDir, readLine(join(gitDir, 'commondir')) ?? '.');
  const loose = readLine(join(common, ref));
  if (loose !== undefined) return loose;
  const packed = read(join(common, 'packed-refs')) ?? '';
  return packed
    .split('\n')
    .find((line) => line.endsWith(` ${ref}`))
    ?.split(' ')[0];
}

function readLine(path: string): string | undefined {
  return read(path)?.trim().split('\n')[0];
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
