import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { parse } from 'yaml';
import { steps } from './steps.ts';

const limit = { timeout: 60_000 };
const root = fileURLToPath(new URL('../../..', import.meta.url));
const workflows = await readdir(join(root, '.github/workflows'));
const files = ['action.yml', ...workflows.map((name) => join('.github/workflows', name))].sort();
const texts = new Map(
  await Promise.all(files.map(async (file) => [file, await readFile(join(root, file), 'utf8')] as const)),
);

interface Job {
  readonly if?: string;
  readonly needs?: string | readonly string[];
  readonly permissions?: Readonly<Record<string, string>>;
  readonly 'timeout-minutes'?: number;
  readonly steps: readonly {
    readonly run?: string;
    readonly uses?: string;
    readonly env?: Readonly<Record<string, string>>;
  }[];
}

interface Workflow {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly jobs?: Readonly<Record<string, Job>>;
  readonly runs?: Job;
}

function jobsOf(file: string): Job[] {
  const { jobs = {}, runs } = parse(texts.get(file)!) as Workflow;
  return [...Object.values(jobs), ...(runs === undefined ? [] : [runs])];
}

const commands = files.flatMap((file) => jobsOf(file).flatMap((job) => job.steps.flatMap(({ run }) => run ?? [])));

test('workflows and the action are valid by their schemas', limit, async () => {
  for (const file of files) {
    const { exitCode, all } = await execa('node_modules/.bin/action-validator', [file], {
      cwd: root,
      all: true,
      reject: false,
    });
    assert.equal(exitCode, 0, `${file}: ${all}`);
  }
});

test('each command is a script of the project, and takes nothing from an event', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: object };
  for (const command of commands) {
    assert.doesNotMatch(command, /\$\{\{/, command);
    const [, script] = /^(?:sudo env "PATH=\$PATH" (?:\w+=\S+ )*)?npm (?:run )?([\w:-]+)(?: .*)?$/.exec(command) ?? [];
    assert.ok(script !== undefined, command);
    assert.ok(script === 'ci' || Object.hasOwn(scripts, script), command);
  }
});

test('what the steps run are scripts of the project', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: object };
  const source = await readFile(join(import.meta.dirname, 'steps.ts'), 'utf8');
  const run = [...source.matchAll(/script: '([\w:-]+)'/g)].map(([, script]) => script!);
  assert.ok(run.length > 4);
  for (const script of run) assert.ok(Object.hasOwn(scripts, script), script);
});

test('the steps are those that the workflows call', () => {
  const called = commands.flatMap((command) => /^npm run actions -- (.*)$/.exec(command)?.[1] ?? []);
  assert.deepEqual([...new Set(called)].sort(), Object.keys(steps).sort());
});

test('each input that is declared is used and the other way round, and each variable of a step is read by it', async () => {
  const inputsOf = (file: string) => {
    const { inputs, on } = parse(texts.get(file)!) as {
      inputs?: object;
      on?: { workflow_dispatch?: { inputs?: object } };
    };
    return Object.keys(inputs ?? on?.workflow_dispatch?.inputs ?? {}).sort();
  };
  for (const [file, text] of texts) {
    const used = [...text.matchAll(/\binputs\.([\w-]+)/g)].map(([, name]) => name!);
    assert.deepEqual([...new Set(used)].sort(), inputsOf(file), file);
  }
  const sources = (await readdir(import.meta.dirname)).filter((name) => /(?<!\.test)\.ts$/.test(name));
  const code = (await Promise.all(sources.map((name) => readFile(join(import.meta.dirname, name), 'utf8')))).join('');
  const variables = files.flatMap((file) => jobsOf(file).flatMap((job) => job.steps.map(({ env = {} }) => env)));
  for (const name of variables.flatMap(Object.keys)) assert.match(code, new RegExp(`'${name}'|\\b${name}:`), name);
});

test('other people’s actions are pinned by commit, with their version beside it', () => {
  for (const [file, text] of texts)
    for (const [, used] of text.matchAll(/uses: (.*)/g))
      assert.match(used!, /^[\w/-]+@[0-9a-f]{40} # v[\d.]+$/, `${file}: ${used}`);
});

test('a job that is left out does not leave out those that follow', () => {
  for (const file of files) {
    const { jobs = {} } = parse(texts.get(file)!) as Workflow;
    const isLeftOut = (name: string): boolean => {
      const { if: condition = '', needs = [] } = jobs[name]!;
      return (condition !== '' && !condition.includes('cancelled()')) || [needs].flat().some(isLeftOut);
    };
    for (const [name, { if: condition = '', needs = [] }] of Object.entries(jobs))
      if ([needs].flat().some(isLeftOut)) assert.match(condition, /!cancelled\(\) && needs\./, `${file}: ${name}`);
  }
});

test('a workflow may read, a job may write what it needs, and every job ends', () => {
  const writes: string[] = [];
  for (const file of files) {
    const { permissions, jobs } = parse(texts.get(file)!) as Workflow;
    if (jobs === undefined) continue;
    assert.deepEqual(permissions, { contents: 'read' }, file);
    for (const [name, job] of Object.entries(jobs)) {
      assert.ok(job['timeout-minutes'] !== undefined, `${file}: ${name}`);
      for (const [scope, level] of Object.entries(job.permissions ?? {}))
        if (level === 'write') writes.push(`${name}: ${scope}`);
    }
  }
  assert.deepEqual(writes, ['report: pull-requests', 'publish: contents', 'pages: pages', 'pages: id-token']);
});
