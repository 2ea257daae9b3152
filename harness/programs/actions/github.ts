import { appendFile, readFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { HarnessError } from '../../cli/error.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** A variable that the runner or the workflow sets. Throws HarnessError `usage`. */
export function required(env: Env, name: string): string {
  const value = env[name];
  if (value) return value;
  throw new HarnessError('usage', `${name} is not set: this step runs in GitHub Actions, with it in env`);
}

/** An input of the workflow; those that are not given are empty there. */
export function given(env: Env, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

/** An input that is a path; relative ones are in the workspace of whoever uses the action, not in the action's. */
export function pathOf(env: Env, name: string): string | undefined {
  const path = given(env, name);
  return path && inWorkspace(env, path);
}

export function inWorkspace(env: Env, path: string): string {
  return resolve(required(env, 'GITHUB_WORKSPACE'), path);
}

/** Outputs of the step, for later steps and jobs. A value may have several lines. */
export async function setOutputs(env: Env, outputs: Readonly<Record<string, string>>): Promise<void> {
  await appendVariables(required(env, 'GITHUB_OUTPUT'), outputs);
}

/** Variables of the job's later steps. */
export async function setVariables(env: Env, variables: Readonly<Record<string, string>>): Promise<void> {
  await appendVariables(required(env, 'GITHUB_ENV'), variables);
}

/** Markdown for the page of the run. */
export async function addSummary(env: Env, markdown: string): Promise<void> {
  await appendFile(required(env, 'GITHUB_STEP_SUMMARY'), `${markdown.trimEnd()}\n\n`);
}

/** The number of the pull request that the run is for; undefined if it is for something else. */
export async function pullRequestOf(env: Env): Promise<number | undefined> {
  const event = JSON.parse(await readFile(required(env, 'GITHUB_EVENT_PATH'), 'utf8')) as {
    pull_request?: { number?: unknown };
  };
  const number = event.pull_request?.number;
  return typeof number === 'number' ? number : undefined;
}

/** With a delimiter that no value can contain, since values may come from a pull request. */
async function appendVariables(path: string, values: Readonly<Record<string, string>>): Promise<void> {
  const delimiter = randomUUID();
  const lines = Object.entries(values).map(([name, value]) => `${name}<<${delimiter}\n${value}\n${delimiter}\n`);
  await appendFile(path, lines.join(''));
}
