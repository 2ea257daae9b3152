import { realpath } from 'node:fs/promises';
import { execa } from 'execa';

export interface CodeState {
  /** 40 hex digits; null where the code is not a git checkout of its own. */
  readonly commit: string | null;
  /** Whether a file outside results/ differs from the commit. */
  readonly dirty: boolean;
}

const limitMs = 30_000;

/**
 * The commit that the code at `root` is of. Results do not count as changes, so that several programs can be run and
 * published one after another.
 */
export async function readCodeState(root: string): Promise<CodeState> {
  // Git refuses a checkout of another user, which is what root sees under sudo.
  const git = (...args: string[]) =>
    execa('git', ['-c', `safe.directory=${root.replace(/\/$/, '')}`, '-C', root, ...args], {
      timeout: limitMs,
      stdin: 'ignore',
    });
  try {
    const [top, commit] = (await git('rev-parse', '--show-toplevel', 'HEAD')).stdout.split('\n');
    // A copy unpacked inside somebody else's repository is not of that repository's commit.
    if (top === undefined || (await realpath(top)) !== (await realpath(root))) return { commit: null, dirty: true };
    const { stdout } = await git('status', '--porcelain', '--untracked-files=all', '--', '.', ':(exclude)results');
    return { commit: commit!, dirty: stdout !== '' };
  } catch {
    return { commit: null, dirty: true };
  }
}
