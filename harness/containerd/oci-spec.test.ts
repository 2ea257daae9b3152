import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunOverrides } from '../../workloads/workload.ts';
import { buildSpec, type SpecRequest } from './oci-spec.ts';

const root = { uid: 0, gid: 0 };

interface Spec {
  process: { args: string[]; env: string[]; cwd: string; user: { uid: number; gid: number } };
  mounts: { destination: string; source: string; options: string[] }[];
  linux: { namespaces: { type: string }[]; cgroupsPath: string };
}

function build(request: Partial<SpecRequest>): Spec {
  const base = {
    image: { Cmd: ['sh'] },
    command: undefined,
    env: [],
    hostname: 'h',
    cgroupsPath: '/c',
    files: {},
    user: root,
  };
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

test('overrides mean what those of docker run mean', () => {
  const image = { Entrypoint: ['entry'], Cmd: ['a', 'b'], WorkingDir: '/work' };
  const args = (overrides: RunOverrides) => build({ image, overrides }).process.args;
  assert.deepEqual(args({}), ['entry', 'a', 'b']);
  assert.deepEqual(args({ args: ['x'] }), ['entry', 'x']);
  assert.deepEqual(args({ entrypoint: ['sh'] }), ['sh']);
  assert.deepEqual(args({ entrypoint: ['sh'], args: ['-c', 'x'] }), ['sh', '-c', 'x']);
  const { process } = build({ image, overrides: { cwd: '/else' }, user: { uid: 7, gid: 8 } });
  assert.deepEqual([process.cwd, process.user], ['/else', { uid: 7, gid: 8 }]);
});

test("the workload's environment overrides the image's, which overrides the default", () => {
  const { env } = build({ image: { Cmd: ['x'], Env: ['PATH=/opt', 'A=1=2', 'B='] }, env: ['A=3'] }).process;
  assert.deepEqual(env, ['PATH=/opt', 'HOSTNAME=h', 'A=3', 'B=']);
});

test('a container has its own network namespace, and its files are mounted read-only', () => {
  const spec = build({ files: { '/etc/hosts': '/state/hosts' } });
  assert.ok(spec.linux.namespaces.some(({ type }) => type === 'network'));
  const hosts = spec.mounts.find(({ destination }) => destination === '/etc/hosts')!;
  assert.equal(hosts.source, '/state/hosts');
  assert.ok(hosts.options.includes('ro'));
});
