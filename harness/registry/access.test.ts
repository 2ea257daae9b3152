import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { mediaTypes } from '../../snapshotter/registry/manifest.ts';
import { type Fault, status } from '../../testkit/registry-simulator/fault.ts';
import { PullLimit } from '../../testkit/registry-simulator/pull-limit.ts';
import { type SimulatorOptions, startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';
import { openAccess } from './access.ts';
import { describeAllowance, requireAllowance } from './allowance.ts';

const limit = { timeout: 30_000 };
const manifest = {
  repository: 'me/python',
  tag: '3.11-org',
  mediaType: mediaTypes.ociManifest,
  bytes: Buffer.from('{}'),
};

/** A simulator, and access to it with a login as `bench`. */
async function open(t: TestContext, { password = 'right', ...options }: SimulatorOptions & { password?: string } = {}) {
  const simulator = await startRegistrySimulator({
    content: { manifests: [manifest] },
    auth: { kind: 'token', users: { bench: 'right' }, anonymousPull: true, lifetimeMs: 60_000 },
    ...options,
  });
  t.after(() => simulator.close());
  const directory = await mkdtemp(join(tmpdir(), 'access-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await mkdir(join(directory, 'hosts'));
  const auth = Buffer.from(`bench:${password}`).toString('base64');
  await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { [simulator.host]: { auth } } }));
  const access = openAccess(join(directory, 'hosts'), { DOCKER_CONFIG: directory });
  t.after(() => access[Symbol.asyncDispose]());
  return { access, at: (name: string) => `${simulator.host}/me/${name}`, simulator };
}

test('a look says the digest and what may still be pulled, and is no pull', limit, async (t) => {
  const pulls = new PullLimit(100);
  const { access, at } = await open(t, { faults: [pulls.fault] });
  const head = await access.look(at('python:3.11-org'), t.signal);
  assert.match(head?.digest ?? '', /^sha256:/);
  assert.deepEqual(head?.rateLimit, { limit: 100, remaining: 100, windowSec: 21_600 });
  assert.equal(await access.look(at('python:absent'), t.signal), undefined);
  assert.equal(pulls.remaining, 100);
});

test('refused credentials are an error even where anybody may pull', limit, async (t) => {
  const { access, at } = await open(t, { password: 'wrong' });
  await assert.rejects(access.look(at('python:3.11-org'), t.signal), {
    code: 'unauthorized',
    message: /refuses the credentials of bench in Docker's configuration/,
  });
});

test(
  'a repository that does not exist yet may be refused by the token service, which says nothing of the login',
  limit,
  async (t) => {
    const denied: Fault = { name: 'denied', on: ['token'], harmless: false, bend: status(403) };
    const { access, at } = await open(t, { faults: [denied] });
    assert.equal(await access.look(at('new:1-org'), t.signal, { refusedIsAbsent: true }), undefined);
    await assert.rejects(access.look(at('new:1-org'), t.signal), { code: 'unauthorized' });
  },
);

test('a limit that is reached says how long to wait', limit, async (t) => {
  const busy: Fault = { name: 'busy', on: ['look'], harmless: false, bend: status(429, { 'retry-after': '21600' }) };
  const { access, at, simulator } = await open(t, { faults: [busy] });
  await assert.rejects(access.look(at('python:3.11-org'), t.signal), {
    code: 'rate-limited',
    message: `${simulator.host} allows no more pulls for now (HTTP 429)`,
    remedy: 'wait 6 h, or docker login for a higher limit',
  });
});

test('who may not push is told before anything is made', limit, async (t) => {
  const { access, at } = await open(t);
  await access.requirePush(at('new:1-org'), t.signal);
  const { access: stranger, at: there } = await open(t, { auth: { kind: 'basic', users: {} } });
  await assert.rejects(stranger.requirePush(there('new:1-org'), t.signal), {
    code: 'unauthorized',
    message: /^cannot push to [\d.:]+\/me\/new: HTTP 401/,
  });
});

test('an allowance is held against what is needed, in words', () => {
  const rateLimit = { limit: 100, remaining: 3, windowSec: 21_600 };
  requireAllowance('docker.io', rateLimit, 3);
  requireAllowance('ghcr.io', undefined, 1000);
  assert.throws(() => requireAllowance('docker.io', rateLimit, 4), {
    code: 'rate-limited',
    message: 'docker.io: 3 of 100 manifest pulls left in 6 h; this needs 4 manifest pulls',
  });
  assert.equal(
    describeAllowance('docker.io', { ...rateLimit, windowSec: undefined }),
    'docker.io: 3 of 100 manifest pulls left',
  );
});
