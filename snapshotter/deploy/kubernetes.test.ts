import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { DaemonSet } from 'kubernetes-models/apps/v1';
import { RuntimeClass } from 'kubernetes-models/node.k8s.io/v1';
import { ClusterRole, ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { ConfigMap, Namespace, ServiceAccount } from 'kubernetes-models/v1';
import { parse } from 'smol-toml';
import { parseAllDocuments } from 'yaml';
import { parseConfig } from '../config/config.ts';
import { type Flags, parseFlags } from '../config/flags.ts';

interface Container {
  readonly args: string[];
  readonly securityContext: { readonly privileged: boolean };
  readonly volumeMounts: { readonly name: string; readonly mountPath: string; readonly mountPropagation?: string }[];
}

interface PodTemplate {
  readonly metadata: { readonly annotations: Record<string, string> };
  readonly spec: {
    readonly runtimeClassName: string;
    readonly containers: readonly Container[];
    readonly volumes: { readonly name: string; readonly hostPath?: { readonly path: string } }[];
  };
}

const root = join(import.meta.dirname, '../..');

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const kinds: Record<string, new (data: never) => { validate(): void }> = {
  ClusterRole,
  ClusterRoleBinding,
  ConfigMap,
  DaemonSet,
  Namespace,
  RuntimeClass,
  ServiceAccount,
};

const manifests = parseAllDocuments(read('kubernetes.yaml')).map((document) => document.toJS() as Manifest);

function read(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8');
}

function find<T>(kind: string): T {
  const found = manifests.find((manifest) => manifest.kind === kind);
  assert.ok(found, `no ${kind}`);
  return found as T;
}

function validate(manifest: Manifest): void {
  const model = kinds[manifest.kind];
  assert.ok(model, `no schema for ${manifest.kind}`);
  new model(manifest as never).validate();
}

for (const manifest of manifests) {
  test(`${manifest.kind} ${manifest.metadata.name} conforms to Kubernetes' schema`, () => validate(manifest));
}

test('a manifest with a field of the wrong type fails validation', () => {
  const broken = structuredClone(
    find<Manifest & { spec: { template: { spec: { hostNetwork: unknown } } } }>('DaemonSet'),
  );
  broken.spec.template.spec.hostNetwork = 'yes';
  assert.throws(() => validate(broken), /hostNetwork/);
});

test('the binding, the service account and the DaemonSet refer to each other', () => {
  const account = find<Manifest>('ServiceAccount');
  const binding = find<{ roleRef: { name: string }; subjects: { name: string; namespace: string }[] }>(
    'ClusterRoleBinding',
  );
  assert.equal(binding.roleRef.name, find<Manifest>('ClusterRole').metadata.name);
  assert.deepEqual(binding.subjects, [
    { kind: 'ServiceAccount', name: account.metadata.name, namespace: account.metadata.namespace },
  ]);
  const pod = find<{ spec: { template: { spec: { serviceAccountName: string } } } }>('DaemonSet').spec.template.spec;
  assert.equal(pod.serviceAccountName, account.metadata.name);
});

test('the role lets the daemon read secrets and nothing else', () => {
  const { rules } = find<{ rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[] }>('ClusterRole');
  assert.deepEqual(rules, [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] }]);
});

test("the daemon's pod uses overlayfs: its class, its annotation and the node's runtimes agree", () => {
  const { template } = find<{ spec: { template: PodTemplate } }>('DaemonSet').spec;
  const runtimeClass = find<Manifest & { handler: string }>('RuntimeClass');
  assert.equal(template.spec.runtimeClassName, runtimeClass.metadata.name);
  assert.equal(template.metadata.annotations['io.containerd.cri.runtime-handler'], runtimeClass.handler);
  const expected = { runtime_type: 'io.containerd.runc.v2', snapshotter: 'overlayfs' };
  for (const [name, plugin] of [
    ['containerd-config-v2.toml', 'io.containerd.grpc.v1.cri'],
    ['containerd-config-v3.toml', 'io.containerd.cri.v1.runtime'],
  ] as const) {
    const { plugins } = parse(read(name)) as { plugins: Record<string, { containerd: { runtimes: object } }> };
    const runtimes = plugins[plugin]!.containerd.runtimes as Record<string, object>;
    assert.deepEqual({ ...runtimes[runtimeClass.handler] }, expected, name);
  }
});

test('the pod is replaced only when deleted by hand, because its end unmounts layers in use', () => {
  const { updateStrategy } = find<{ spec: { updateStrategy: { type: string } } }>('DaemonSet').spec;
  assert.equal(updateStrategy.type, 'OnDelete');
});

test('mounts made in the pod propagate to the node, at the same path', () => {
  const { containers, volumes } = find<{ spec: { template: PodTemplate } }>('DaemonSet').spec.template.spec;
  const [{ args, securityContext, volumeMounts }] = containers as [Container];
  const flags = parseFlags(args) as Flags;
  const mounted = volumeMounts.find(({ mountPath }) => mountPath === flags.root);
  assert.equal(mounted?.mountPropagation, 'Bidirectional');
  // Kubernetes allows it only for privileged containers.
  assert.equal(securityContext.privileged, true);
  for (const { name, mountPath } of volumeMounts) {
    const volume = volumes.find((candidate) => candidate.name === name);
    if (volume?.hostPath !== undefined) assert.equal(volume.hostPath.path, mountPath);
  }
  assert.ok(volumeMounts.some(({ mountPath }) => mountPath === dirname(flags.address)));
  assert.ok(volumeMounts.some(({ mountPath }) => mountPath === dirname(flags.config)));
  const config = find<{ data: Record<string, string> }>('ConfigMap').data[basename(flags.config)]!;
  for (const text of [config, read('config.toml')]) assert.deepEqual(parseConfig(text, 'config.toml').warnings, []);
});

test('the systemd unit starts the daemon of this repository and is ready when it serves', () => {
  const unit = read('stargz-snapshotter.service');
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1] ?? '';
  const [node, main, ...args] = value('ExecStart')
    .split(' ')
    .map((word) => word.replace('/opt/stargz-bench', root));
  assert.ok(existsSync(node!), node);
  assert.equal(main, join(root, 'snapshotter/main.ts'));
  assert.equal(typeof parseFlags(args), 'object');
  assert.deepEqual([value('Type'), value('Before'), value('KillMode')], ['notify', 'containerd.service', 'process']);
});

test("the node's containerd configurations use the daemon's socket and enable snapshot annotations", () => {
  const args = find<{ spec: { template: { spec: { containers: { args: string[] }[] } } } }>('DaemonSet').spec.template
    .spec.containers[0]!.args;
  for (const name of ['containerd-config-v2.toml', 'containerd-config-v3.toml']) {
    const config = parse(read(name)) as {
      proxy_plugins: { stargz: { address: string } };
      plugins: Record<string, { containerd?: Record<string, unknown> } & Record<string, unknown>>;
    };
    assert.ok(args.includes(`--address=${config.proxy_plugins.stargz.address}`), name);
    const cri =
      config.plugins['io.containerd.grpc.v1.cri']?.containerd ?? config.plugins['io.containerd.cri.v1.images'];
    assert.equal(cri?.snapshotter, 'stargz', name);
    assert.equal(cri?.disable_snapshot_annotations, false, name);
  }
});
