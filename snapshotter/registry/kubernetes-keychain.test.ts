import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { until } from '../../testkit/until.ts';
import { kubernetesKeychain } from './kubernetes-keychain.ts';
import { parseReference } from './reference.ts';
import { makeCertificate } from '../../testkit/registry-simulator/certificate.ts';
import { limit } from './testing/fixture.ts';

const signal = new AbortController().signal;

interface Secret {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion: string };
  readonly type: string;
  readonly data: Readonly<Record<string, string>>;
}

function secret(name: string, auths: unknown, resourceVersion = '1'): Secret {
  const text = typeof auths === 'string' ? auths : JSON.stringify({ auths });
  return {
    metadata: { name, namespace: 'default', resourceVersion },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(text).toString('base64') },
  };
}

/** Serves list and watch of secrets like the API server, and nothing else. */
async function startApiServer(secrets: readonly Secret[]) {
  const watches = new Set<ServerResponse>();
  const requests: string[] = [];
  let isDown = false;
  const { keyPem, certPem } = makeCertificate();
  const server = createServer({ key: keyPem, cert: certPem }, (request, response) => {
    const url = new URL(request.url ?? '/', 'http://api');
    requests.push(`${url.pathname} ${url.searchParams.get('fieldSelector')} ${request.headers.authorization}`);
    if (isDown || url.pathname !== '/api/v1/secrets') return void response.writeHead(503).end('{}');
    response.writeHead(200, { 'content-type': 'application/json' });
    if (url.searchParams.get('watch') === 'true') {
      response.flushHeaders();
      watches.add(response);
      return;
    }
    const list = { kind: 'SecretList', apiVersion: 'v1', metadata: { resourceVersion: '10' }, items: secrets };
    response.end(JSON.stringify(list));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const directory = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
  const kubeconfigPath = join(directory, 'config');
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await writeFile(
    kubeconfigPath,
    JSON.stringify({
      'current-context': 'test',
      clusters: [
        {
          name: 'test',
          cluster: { server: address, 'certificate-authority-data': Buffer.from(certPem).toString('base64') },
        },
      ],
      users: [{ name: 'test', user: { token: 'service-token' } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    }),
  );
  return {
    kubeconfigPath,
    requests,
    setDown: (down: boolean) => {
      isDown = down;
    },
    async emit(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: Secret) {
      await until('a watch', () => watches.size > 0, { limitMs: 10_000 });
      for (const watch of watches) watch.write(`${JSON.stringify({ type, object })}\n`);
    },
    async close() {
      for (const watch of watches) watch.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

describe('the keychain of Kubernetes secrets', () => {
  it('finds secrets by host and repository prefix, and follows their changes', limit, async () => {
    const failures: string[] = [];
    const api = await startApiServer([
      secret('one', {
        'a.test': { username: 'all', password: 'p' },
        'a.test/team': { username: 'team', password: 'p' },
      }),
      secret('wild', { '*.cloud.test': { username: 'wild', password: 'p' } }),
      secret('broken', 'not json s3cr3t'),
      { ...secret('other', { 'b.test': { username: 'never', password: 'p' } }), type: 'Opaque' },
    ]);
    const keychain = kubernetesKeychain({
      kubeconfigPath: api.kubeconfigPath,
      syncLimitMs: 20_000,
      onFailure: (error) => void failures.push(error.message),
    });
    const names = async (image: string): Promise<unknown[]> => {
      const reference = parseReference(image);
      const found = await keychain.lookup(reference, reference.registry, signal);
      return found.map((credential) => credential.kind === 'basic' && credential.username);
    };
    const eventually = async (image: string, expected: unknown[]): Promise<void> => {
      const areNames = async () => isDeepStrictEqual(await names(image), expected);
      await until(`credentials of ${expected} for ${image}`, areNames, { limitMs: 10_000 });
    };
    try {
      assert.deepEqual(await names('a.test/team/x'), ['team', 'all']);
      assert.deepEqual(await names('a.test/other/x'), ['all']);
      assert.deepEqual(await names('eu.cloud.test/x'), ['wild']);
      assert.deepEqual(await names('a.b.cloud.test/x'), []);
      assert.deepEqual(await names('b.test/x'), []);
      assert.equal(failures.length > 0, true);
      assert.match(failures[0]!, /secret default\/broken: it is not JSON/);
      assert.doesNotMatch(failures.join(), /s3cr3t/);
      assert.equal(api.requests[0], '/api/v1/secrets type=kubernetes.io/dockerconfigjson Bearer service-token');

      await api.emit('ADDED', secret('new', { 'new.test': { username: 'new', password: 'p' } }, '11'));
      await eventually('new.test/x', ['new']);
      await api.emit('MODIFIED', secret('new', { 'new.test': { username: 'newer', password: 'p' } }, '12'));
      await eventually('new.test/x', ['newer']);
      await api.emit('DELETED', secret('new', {}, '13'));
      await eventually('new.test/x', []);
    } finally {
      await keychain.close();
      await api.close();
    }
  });

  it('reports that the API server is unreachable, and recovers when it returns', limit, async () => {
    const api = await startApiServer([secret('one', { 'a.test': { username: 'all', password: 'p' } })]);
    api.setDown(true);
    const keychain = kubernetesKeychain({ kubeconfigPath: api.kubeconfigPath, syncLimitMs: 1_000, retryMs: 50 });
    const reference = parseReference('a.test/x');
    try {
      await assert.rejects(keychain.lookup(reference, 'a.test', signal), { code: 'keychain', message: /503/ });
      api.setDown(false);
      const find = async () => (await keychain.lookup(reference, 'a.test', signal)).length === 1;
      await until('the secret', find, { limitMs: 10_000 });
    } finally {
      await keychain.close();
      await api.close();
    }
  });

  it('lets a caller abort while it waits', limit, async () => {
    const keychain = kubernetesKeychain({ kubeconfigPath: '/nonexistent', syncLimitMs: 20_000, retryMs: 10_000 });
    try {
      const waiting = keychain.lookup(parseReference('a'), 'docker.io', AbortSignal.timeout(50));
      await assert.rejects(waiting, { name: 'TimeoutError' });
    } finally {
      await keychain.close();
    }
  });
});
