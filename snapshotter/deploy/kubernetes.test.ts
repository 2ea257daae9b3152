import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DaemonSet } from 'kubernetes-models/apps/v1';
import { ClusterRole, ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { ConfigMap, Namespace, ServiceAccount } from 'kubernetes-models/v1';
import { parse } from 'smol-toml';
import { parseAllDocuments } from 'yaml';

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
  test(`${manifest.kind} ${manifest.metadata.name} fits Kubernetes' schema`, () => validate(manifest));
}

test('a manifest with a field of the wrong type does not fit', () => {
  const broken = structuredClone(
    find<Manifest & { spec: { template: { spec: { hostNetwork: unknown } } } }>('DaemonSet'),
  );
  broken.spec.template.spec.hostNetwork = 'yes';
  assert.throws(() => validate(broken), /hostNetwork/);
});

test('the binding, the service account and the daemon set name each other', () => {
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

test("the node's containerd configurations use the socket the daemon listens on, with annotations on", () => {
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
