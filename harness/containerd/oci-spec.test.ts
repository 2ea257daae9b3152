import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSpec, type SpecRequest } from './oci-spec.ts';

interface Spec {
  process: { args: string[]; env: string[]; cwd: string; user: { uid: number; gid: number } };
  mounts: { destination: string; source: string; options: string[] }[];
  linux: { namespaces: { type: string }[]; cgroupsPath: string };
}

function build(request: Partial<SpecRequest>): Spec {
  const base = { image: { Cmd: ['sh'] }, command: undefined, env: [], hostname: 'h', cgroupsPath: '/c', files: {} };
  return buildSpec({ ...base, ...request }) as Spec;
}

test("the image's entry point precedes its command; the workload's command replaces both", () => {
  const image = { Entrypoint: ['entry'], Cmd: ['a', 'b'], WorkingDir: '/work' };
  assert.deepEqual(build({ image }).process.args, ['entry', 'a', 'b']);
  assert.equal(build({ image }).process.cwd, '/work');
  assert.deepEqual(build({ image, command: ['x'] }).process.args, ['x']);
  assert.equal(build({}).process.cwd, '/');
  assert.throws(() => build({ image: {} }), { code: 'unsupported-image' });
});

test("the workload's environment overrides the image's, which overrides the default", () => {
  const { env } = build({ image: { Cmd: ['x'], Env: ['PATH=/opt', 'A=1=2', 'B='] }, env: ['A=3'] }).process;
  assert.deepEqual(env, ['PATH=/opt', 'HOSTNAME=h', 'A=3', 'B=']);
});

test('a numeric user is accepted, a user name is refused', () => {
  const user = (User: string) => build({ image: { Cmd: ['x'], User } }).process.user;
  assert.deepEqual(user(''), { uid: 0, gid: 0 });
  assert.deepEqual(user('root'), { uid: 0, gid: 0 });
  assert.deepEqual(user('999:998'), { uid: 999, gid: 998 });
  assert.deepEqual(user('7'), { uid: 7, gid: 0 });
  assert.throws(() => user('postgres'), { code: 'unsupported-image', remedy: /uid:gid/ });
});

test('a container has its own network namespace, and its files are mounted read-only', () => {
  const spec = build({ files: { '/etc/hosts': '/state/hosts' } });
  assert.ok(spec.linux.namespaces.some(({ type }) => type === 'network'));
  const hosts = spec.mounts.find(({ destination }) => destination === '/etc/hosts')!;
  assert.equal(hosts.source, '/state/hosts');
  assert.ok(hosts.options.includes('ro'));
});
