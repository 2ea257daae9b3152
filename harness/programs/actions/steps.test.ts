import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Env } from './github.ts';
import { type NpmRun, steps, type Surroundings } from './steps.ts';

const limit = { timeout: 20_000 };

interface Runner extends Surroundings {
  readonly ran: NpmRun[];
  readonly said: string[];
  /** What the step appended to a file of the runner. */
  read(name: 'output' | 'env' | 'summary'): Promise<string>;
  addRun(directory: string): Promise<string>;
}

async function openRunner(
  t: TestContext,
  env: Env = {},
  onNpm: (run: NpmRun) => Promise<boolean> = async () => true,
): Promise<Runner> {
  const checkout = await mkdtemp(join(tmpdir(), 'actions-'));
  t.after(() => rm(checkout, { recursive: true, force: true }));
  const at = (name: string): string => join(checkout, name);
  const ran: NpmRun[] = [];
  const said: string[] = [];
  return {
    checkout,
    signal: new AbortController().signal,
    env: {
      GITHUB_OUTPUT: at('output'),
      GITHUB_ENV: at('env'),
      GITHUB_STEP_SUMMARY: at('summary'),
      RUNNER_TEMP: checkout,
      GITHUB_WORKSPACE: '/workspace',
      ...env,
    },
    ran,
    said,
    npm(run) {
      ran.push(run);
      return onNpm(run);
    },
    say: (text) => void said.push(text),
    read: (name) => readFile(at(name), 'utf8'),
    async addRun(directory) {
      await mkdir(at(directory), { recursive: true });
      await writeFile(join(at(directory), 'samples.csv'), 'workload\n');
      return at(directory);
    },
  };
}

const event = { GITHUB_EVENT_NAME: 'schedule', GITHUB_REF: 'refs/heads/main', GITHUB_RUN_ID: '5' };

/** The outputs in a file of the runner, by name. */
function parseOutputs(text: string): Record<string, string> {
  const found = text.matchAll(/^([\w-]+)<<(\S+)\n([\s\S]*?)\n\2$/gm);
  return Object.fromEntries([...found].map(([, name, , value]) => [name!, value!]));
}

test('the plan of one job is what the shards of the next measure', limit, async (t) => {
  const planning = await openRunner(t, { ...event, SHARDS: '2', REGISTRY: 'docker.io/bench', REGISTRY_USER: 'bench' });
  assert.equal(await steps.plan!(planning), true);
  const outputs = parseOutputs(await planning.read('output'));
  assert.deepEqual(JSON.parse(outputs.shards!), ['1/2', '2/2']);
  assert.equal(outputs['is-published'], 'true');

  const preparing = await openRunner(t, { PLAN: outputs.plan });
  await steps.prepare!(preparing);
  const prepared = ['prepare', '--registry', 'docker.io/bench', '--workloads', '@default'];
  assert.deepEqual(preparing.ran, [{ script: 'images', args: prepared, asRoot: true }]);

  const measuring = await openRunner(t, { PLAN: outputs.plan, SHARD: '2/2' });
  await steps.bench!(measuring);
  const [{ script, args, asRoot }] = measuring.ran as [NpmRun];
  assert.deepEqual([script, asRoot], ['bench', true]);
  assert.deepEqual(args.slice(-4), ['--shard', '2/2', '--out', 'results/actions']);
  assert.ok(args.includes('docker.io/bench'));
});

test('credentials are written for whoever reads Docker’s, and are not readable by others', limit, async (t) => {
  const login = { REGISTRY: 'docker.io/bench', REGISTRY_USER: 'bench', REGISTRY_TOKEN: 'secret' };
  const runner = await openRunner(t, login);
  await steps.login!(runner);
  const { DOCKER_CONFIG: directory } = parseOutputs(await runner.read('env'));
  const { auths } = JSON.parse(await readFile(join(directory!, 'config.json'), 'utf8')) as { auths: object };
  assert.deepEqual(auths, { 'https://index.docker.io/v1/': { auth: Buffer.from('bench:secret').toString('base64') } });
  assert.deepEqual(runner.said, []);
});

test('an image of one’s own is measured with the action’s inputs', limit, async (t) => {
  const inputs = {
    INPUT_IMAGE: 'docker-daemon:app:1',
    INPUT_COMMAND: '',
    INPUT_READY_LINE: '-ready-',
    INPUT_READY_EXIT: 'false',
    INPUT_ENV: 'A=1\n  B=two words\n\n',
    INPUT_MOUNT: 'src:/src',
    INPUT_STDIN: 'input.txt',
    INPUT_SAMPLES: '6',
    INPUT_TIMELINE: 'true',
  };
  const runner = await openRunner(t, inputs);
  await steps['bench-image']!(runner);
  assert.deepEqual(runner.ran[0]!.args, [
    '--image=docker-daemon:app:1',
    '--ready-line=-ready-',
    '--samples=6',
    '--timeline',
    '--stdin=/workspace/input.txt',
    '--env=A=1',
    '--env=B=two words',
    '--mount=/workspace/src:/src',
    '--out',
    'results/actions',
  ]);
  const archived = await openRunner(t, { INPUT_IMAGE: 'docker-archive:build/app.tar', INPUT_TIMELINE: 'false' });
  await steps['bench-image']!(archived);
  assert.deepEqual(archived.ran[0]!.args, [
    '--image=docker-archive:/workspace/build/app.tar',
    '--out',
    'results/actions',
  ]);
});

test('shards are merged, and the report is the summary of the run', limit, async (t) => {
  const runner = await openRunner(t, {}, async ({ script, args }) => {
    if (script === 'merge') await runner.addRun('results/actions/bench/20261127-000000');
    if (script === 'report') await writeFile(args.at(-1)!, '**faster**\n');
    return true;
  });
  const shards = [
    await runner.addRun('results/shards/one/bench/20261127-000001'),
    await runner.addRun('results/shards/two/bench/20261127-000002'),
  ];
  assert.equal(await steps.report!(runner), true);
  assert.deepEqual(runner.ran[0], { script: 'merge', args: [...shards, '--out', 'results/actions'] });
  assert.equal(await runner.read('summary'), '**faster**\n\n');
  const { run } = parseOutputs(await runner.read('output'));
  assert.equal(run, join(runner.checkout, 'results/actions/bench/20261127-000000'));
});

test('without a run there is nothing to report, and it says so', limit, async (t) => {
  await assert.rejects(steps.report!(await openRunner(t)), /results\/actions holds no run/);
});

test('a gate compares with its baseline, and fails as the comparison does', limit, async (t) => {
  const runner = await openRunner(t, { FAIL_ON: 'bytes:5%', BASELINE: 'before' }, async () => false);
  await runner.addRun('results/actions/bench/20261126-000000');
  const run = await runner.addRun('results/actions/bench/20261127-000000');
  assert.equal(await steps.gate!(runner), false);
  assert.deepEqual(runner.ran, [
    { script: 'compare', args: ['/workspace/before', run, '--other-images', '--fail-on', 'bytes:5%'] },
  ]);
  const interleaved = await openRunner(t, { FAIL_ON: 'total:20%', BASE: 'a1b2c3' });
  const both = await interleaved.addRun('results/actions/bench/20261127-000000');
  await steps.gate!(interleaved);
  assert.deepEqual(interleaved.ran, [{ script: 'compare', args: [both, '--fail-on', 'total:20%'] }]);
  const without = await openRunner(t, { FAIL_ON: 'bytes:5%', BASELINE: '' });
  assert.equal(await steps.gate!(without), true);
  assert.match(without.said[0]!, /nothing is compared/);
});
