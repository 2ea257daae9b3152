import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HarnessError } from '../cli/error.ts';

/** results/<run-id>/, the run id being the time of the start in UTC, with a number behind it if that is taken. */
export async function createResultDir(outDir: string, startedAt: Date): Promise<{ runId: string; path: string }> {
  const stamp = startedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  try {
    await mkdir(outDir, { recursive: true });
    for (let attempt = 1; ; attempt++) {
      const runId = attempt === 1 ? stamp : `${stamp}-${attempt}`;
      const path = join(outDir, runId);
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

/** A run that measured nothing leaves no directory behind. */
export async function removeResultDir(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/** Written aside and renamed, so that a reader never sees half of it. */
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
