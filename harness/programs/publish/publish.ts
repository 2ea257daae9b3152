import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { readEnvironment } from '../../../measurements/environment.ts';
import { programDirectory } from '../../run/result-dir.ts';
import type { Publication } from './catalogue.ts';

export interface PublishedRun {
  readonly program: string;
  /** Undefined where the program left no results. */
  readonly path: string | undefined;
  /** Why this run is not fit to be quoted. */
  readonly fault: string | undefined;
}

export interface PublishPlaces {
  readonly root: string;
  readonly out: string;
  readonly stateDir: string;
}

/** A program gets the signal that this one gets, from the terminal, and then takes this long at most to clean up. */
const stopGraceMs = 120_000;

/** Runs one program to its end. A run that fails or misses a limit is an outcome; an interrupted one throws. */
export async function publish(
  { program, args }: Publication,
  { root, out, stateDir }: PublishPlaces,
  signal: AbortSignal,
): Promise<PublishedRun> {
  signal.throwIfAborted();
  const parent = join(out, programDirectory(program));
  const before = new Set(await readdir(parent).catch(() => []));
  const places = ['--out', out, '--state-dir', stateDir];
  const { exitCode } = await execa('npm', ['run', '--silent', program, '--', ...args, ...places], {
    cwd: root,
    stdio: 'inherit',
    reject: false,
    cancelSignal: signal,
    forceKillAfterDelay: stopGraceMs,
  });
  signal.throwIfAborted();
  const runId = (await readdir(parent).catch(() => [])).find((name) => !before.has(name));
  if (runId === undefined) return { program, path: undefined, fault: `exit code ${exitCode}` };
  const path = join(parent, runId);
  const { status, dirty } = await readEnvironment(path);
  const faults = [
    ...(status === 'complete' ? [] : [status]),
    ...(dirty ? ['the tree was changed meanwhile'] : []),
    ...(exitCode === 0 ? [] : [`exit code ${exitCode}: a limit was missed or a cell failed`]),
  ];
  return { program, path, fault: faults.length === 0 ? undefined : faults.join(', ') };
}
