import { mkdir, open, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HarnessError } from '../cli/error.ts';

/** OUT/<program>/<run-id>/. The run id is the time of the start in UTC, with a number appended if that is taken. */
export async function createResultDir(
  outDir: string,
  program: string,
  startedAt: Date,
): Promise<{ runId: string; path: string }> {
  const stamp = startedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const parent = join(outDir, programDirectory(program));
  try {
    await mkdir(parent, { recursive: true });
    for (let attempt = 1; ; attempt++) {
      const runId = attempt === 1 ? stamp : `${stamp}-${attempt}`;
      const path = join(parent, runId);
      try {
        await mkdir(path);
        return { runId, path };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 99) throw error;
      }
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HarnessError('start', `cannot create a directory for the results under ${outDir} (${code})`, {
      remedy: 'choose another with --out DIR',
      cause,
    });
  }
}

/** `bench:pull` -> `bench-pull`: a colon does not survive in every file system and URL. */
export function programDirectory(program: string): string {
  return program.replaceAll(':', '-');
}

/** Removes the directory of a run that measured nothing, and its program's if that is empty now. */
export async function removeResultDir(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await rmdir(dirname(path)).catch(() => {});
}

/** Written to a temporary name and renamed, so that a reader never sees part of it. */
export async function writeResultFile(dir: string, name: string, content: string | Uint8Array): Promise<void> {
  const aside = join(dir, `.${name}.new`);
  const file = await open(aside, 'w');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(aside, join(dir, name));
}
