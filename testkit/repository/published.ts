import { access, glob, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { type Environment, readEnvironment } from '../../measurements/environment.ts';

/**
 * Whether what the documents quote can be traced: figure -> file -> environment.json -> commit. A published run lies in
 * results/published/<program>/<run-id>/.
 */

const published = 'results/published';
const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs/**/*.md'];

export interface PublishedReference {
  /** `README.md:12` */
  readonly place: string;
  /** Below the root. */
  readonly path: string;
}

/** Every path below results/published that a document names, in a link, an image or text. */
export async function findReferences(root: string): Promise<PublishedReference[]> {
  const references: PublishedReference[] = [];
  for await (const file of glob(documents, { cwd: root })) {
    const lines = (await readFile(join(root, file), 'utf8')).split('\n');
    for (const [index, line] of lines.entries()) {
      for (const [match] of line.matchAll(/results\/published\/[\w./-]*\w/g)) {
        references.push({ place: `${file}:${index + 1}`, path: match });
      }
    }
  }
  return references;
}

/** Faults of the references and of the published runs, one line each. */
export async function findPublishedFaults(root: string): Promise<string[]> {
  const faults: string[] = [];
  for (const { place, path } of await findReferences(root)) {
    const [, , program, runId] = path.split('/');
    if (program === undefined || runId === undefined) faults.push(`${place}: ${path} is not in a run's directory`);
    else if (!(await exists(join(root, path)))) faults.push(`${place}: ${path} does not exist`);
  }
  for (const program of await entries(join(root, published))) {
    const runs = await entries(join(root, published, program));
    if (runs.length === 0) faults.push(`${published}/${program} is not the directory of a program's runs`);
    for (const runId of runs) {
      const path = `${published}/${program}/${runId}`;
      faults.push(...(await faultsOfRun(root, program, runId)).map((fault) => `${path}: ${fault}`));
    }
  }
  return faults;
}

async function faultsOfRun(root: string, program: string, runId: string): Promise<string[]> {
  let environment: Environment;
  try {
    environment = await readEnvironment(join(root, published, program, runId));
  } catch (error) {
    return [(error as Error).message];
  }
  const faults: string[] = [];
  if (environment.program.replaceAll(':', '-') !== program) faults.push(`is a run of ${environment.program}`);
  if (environment.runId !== runId) faults.push(`is run ${environment.runId}`);
  if (environment.status !== 'complete') faults.push(`status ${environment.status}`);
  if (environment.dirty) faults.push('made from a tree with uncommitted changes');
  if (environment.commit === null) faults.push('names no commit');
  else if (!(await isAncestor(root, environment.commit))) faults.push(`${environment.commit} is not in this history`);
  return faults;
}

/** A shallow clone has no history to look in: there the commit counts as found. */
async function isAncestor(root: string, commit: string): Promise<boolean> {
  const git = (...args: string[]) =>
    execa('git', ['-c', `safe.directory=${root.replace(/\/$/, '')}`, '-C', root, ...args], {
      reject: false,
      timeout: 30_000,
    });
  if ((await git('merge-base', '--is-ancestor', commit, 'HEAD')).exitCode === 0) return true;
  return (await git('rev-parse', '--is-shallow-repository')).stdout === 'true';
}

async function entries(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(() => [])).sort();
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
