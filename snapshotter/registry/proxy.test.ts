import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { inspect } from 'node:util';
import { RegistryClient, type RegistryClientOptions } from './client.ts';
import type { RegistryError } from './error.ts';
import { proxyChoice } from './proxy.ts';
import { parseReference } from './reference.ts';
import { makeCertificate } from '../../testkit/registry-simulator/certificate.ts';
import { collect, limit, type StoredBlob, startRegistryWithBlob } from './testing/fixture.ts';
import { type ForwardProxyOptions, startForwardProxy } from './testing/forward-proxy.ts';
import { type RegistrySimulator, startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';

const signal = new AbortController().signal;

/** The proxy that the environment names for a URL, or 'direct'. */
function wayTo(url: string, env: Record<string, string>): string {
  return proxyChoice(env)(new URL(url), 'test')?.url.href ?? 'direct';
}

describe('the proxy of the environment', () => {
  it('is chosen by the scheme of the URL, upper-case variable first; an empty one counts as unset', () => {
    const env = { HTTP_PROXY: 'http://plain:1', https_proxy: 'secure:2' };
    assert.equal(wayTo('http://a.test/', env), 'http://plain:1/');
    assert.equal(wayTo('https://a.test/', env), 'http://secure:2/');
    assert.equal(wayTo('https://a.test/', { HTTP_PROXY: 'http://plain:1' }), 'direct');
    assert.equal(wayTo('http://a.test/', { HTTP_PROXY: 'capitals:1', http_proxy: 'small:1' }), 'http://capitals:1/');
    assert.equal(wayTo('http://a.test/', { HTTP_PROXY: '', http_proxy: 'small:1' }), 'http://small:1/');
    assert.equal(wayTo('http://a.test/', { ALL_PROXY: 'http://all:1' }), 'direct');
    assert.equal(wayTo('http://a.test/', { HTTP_PROXY: 'https://tls' }), 'https://tls/');
  });

  it('is never used for loopback', () => {
    const env = { HTTP_PROXY: 'http://p:1', HTTPS_PROXY: 'http://p:1' };
    for (const host of ['localhost', 'localhost:5000', '127.0.0.1:5000', '127.9.9.9', '[::1]:80']) {
      assert.equal(wayTo(`http://${host}/`, env), 'direct');
      assert.equal(wayTo(`https://${host}/`, env), 'direct');
    }
  });

  const exempt: [noProxy: string, direct: string[], proxied: string[]][] = [
    ['*', ['a.test', '10.1.2.3'], []],
    ['a.test', ['a.test', 'b.a.test', 'A.TEST', 'a.test:8443'], ['ba.test', 'test', 'a.test.evil']],
    ['.a.test', ['b.a.test', 'c.b.a.test'], ['a.test']],
    ['*.a.test', ['b.a.test'], ['a.test']],
    ['a.test:8443', ['a.test:8443', 'b.a.test:8443'], ['a.test', 'a.test:8444']],
    ['a.test:443', ['a.test', 'a.test:443'], ['a.test:8443']],
    ['10.1.2.3', ['10.1.2.3', '10.1.2.3:5000'], ['10.1.2.30', '110.1.2.3']],
    ['10.1.2.3:5000', ['10.1.2.3:5000'], ['10.1.2.3']],
    ['10.0.0.0/8, 192.168.4.0/22', ['10.255.1.1', '192.168.7.255'], ['11.0.0.1', '192.168.8.1', 'ten.test']],
    ['fd00::/8,2001:db8::5', ['[fd12::1]:5000', '[2001:db8::5]'], ['[fe80::1]', '[2001:db8::6]']],
    ['[2001:db8::5]:5000', ['[2001:db8::5]:5000'], ['[2001:db8::5]']],
    [' , ,b.test , ', ['b.test'], ['a.test']],
    ['10.0.0.0/99,:80,/8,[', [], ['10.0.0.1', 'a.test']],
    ['bücher.test', ['xn--bcher-kva.test'], ['a.test']],
  ];
  for (const [noProxy, direct, proxied] of exempt) {
    it(`leaves out what NO_PROXY="${noProxy}" names`, () => {
      const env = { HTTPS_PROXY: 'http://p:1', no_proxy: noProxy };
      for (const host of direct) assert.equal(wayTo(`https://${host}/`, env), 'direct', host);
      for (const host of proxied) assert.equal(wayTo(`https://${host}/`, env), 'http://p:1/', host);
    });
  }

  for (const value of ['socks5://u:hunter2@p:1080', 'http://', 'http://u:%zz-hunter2@p', 'http://u:hunter2@p:99999']) {
    it(`that is no HTTP proxy (${value.replace('hunter2', '…')}) fails the requests that need it, without quoting it`, () => {
      const choose = proxyChoice({ HTTPS_PROXY: value, NO_PROXY: 'b.test' });
      assert.throws(() => choose(new URL('https://a.test/'), 'fetch manifest of a.test'), {
        code: 'refused',
        message:
          'fetch manifest of a.test (a.test): HTTPS_PROXY of the environment is not the URL of an HTTP proxy; ' +
          'set it to http://host:port, or name the host in NO_PROXY',
      });
      assert.equal(choose(new URL('https://b.test/'), ''), undefined);
      assert.equal(choose(new URL('http://a.test/'), ''), undefined);
    });
  }
});

for (const scheme of ['http', 'https'] as const) {
  describe(`a registry on ${scheme} behind a proxy`, () => {
    let stored: StoredBlob;
    let upstream: RegistrySimulator;
    before(async () => {
      stored = await startRegistryWithBlob(300_000);
      upstream = await startRegistrySimulator({ upstream: stored.registry.host, tls: scheme === 'https' });
    });
    after(async () => {
      await upstream?.close();
      await stored?.registry.close();
    });

    /** A proxy, and a client whose environment names it; only the proxy can resolve registry.test. */
    async function behindProxy(
      t: TestContext,
      options: Omit<ForwardProxyOptions, 'upstream'>,
      given: { readonly userinfo?: string; readonly more?: RegistryClientOptions } = {},
    ) {
      const proxy = await startForwardProxy({ ...options, upstream: upstream.host });
      t.after(() => proxy.close());
      const port = proxy.host.split(':')[1];
      const url =
        options.tls === undefined ? `http://${given.userinfo ?? ''}${proxy.host}` : `https://localhost:${port}`;
      const trust = scheme === 'https' ? { caPem: upstream.caPem! } : { plainHttp: true };
      const client = new RegistryClient({
        env: { [`${scheme.toUpperCase()}_PROXY`]: url },
        hosts: { 'registry.test': trust },
        retry: { maxRetries: 1, minWaitMs: 1 },
        ...given.more,
      });
      t.after(() => client.close());
      const blob = client.blob(parseReference(`registry.test/${stored.repository}`), stored.digest);
      return { proxy, client, blob };
    }

    it('is read through the proxy with the credentials of its URL', limit, async (t) => {
      const credentials = 'user@corp:p:a/ss%';
      const userinfo = `${encodeURIComponent('user@corp')}:${encodeURIComponent('p:a/ss%')}@`;
      const { proxy, blob } = await behindProxy(t, { credentials }, { userinfo });
      const bytes = await collect(blob.fetchRange(1_000, 200_000, signal));
      assert.ok(bytes.equals(stored.content.subarray(1_000, 200_000)));
      const path = `/v2/${stored.repository}/blobs/${stored.digest}`;
      assert.deepEqual(
        proxy.asked,
        scheme === 'http' ? [`GET http://registry.test${path}`] : ['CONNECT registry.test:443'],
      );
      assert.equal(upstream.counts.leaks, 0);
    });

    it('respects the connection limit and reuses connections', limit, async (t) => {
      const { proxy, blob } = await behindProxy(t, {}, { more: { maxConnectionsPerHost: 3 } });
      const reads = Array.from({ length: 12 }, (_, at) => collect(blob.fetchRange(at, at + 5, signal)));
      await Promise.all(reads);
      assert.ok(proxy.connections <= 3, `${proxy.connections} connections`);
    });

    it('is not reached if the proxy refuses the credentials, which are never printed', limit, async (t) => {
      const reports: unknown[] = [];
      const more = { onRequest: (report: unknown) => void reports.push(report) };
      const before = upstream.counts.requests;
      const { proxy, blob } = await behindProxy(t, { credentials: 'u:right' }, { userinfo: 'u:hunter2@', more });
      await assert.rejects(blob.fetchSuffix(10, signal), (error: RegistryError) => {
        assert.equal(error.code, 'unauthorized');
        assert.match(
          error.message,
          new RegExp(`\\(registry\\.test\\): the proxy ${proxy.host} refused with HTTP 407; check the credentials in`),
        );
        for (const shown of [inspect(error, { depth: 9 }), inspect(reports)]) {
          assert.doesNotMatch(shown, /hunter2/);
          assert.ok(!shown.includes(btoa('u:hunter2')), shown);
        }
        return true;
      });
      assert.equal(reports.length, 1, 'it was tried again');
      assert.equal(upstream.counts.requests, before);
    });

    it('is not reached if the proxy is down, which is named without its credentials', limit, async (t) => {
      const url = 'http://u:hunter2@127.0.0.1:1';
      const client = new RegistryClient({
        env: { HTTP_PROXY: url, HTTPS_PROXY: url },
        hosts: { 'registry.test': { plainHttp: scheme === 'http' } },
        retry: { maxRetries: 0 },
      });
      t.after(() => client.close());
      await assert.rejects(
        client.fetchManifest(parseReference('registry.test/a:b'), signal),
        (error: RegistryError) => {
          assert.equal(error.code, 'unreachable');
          assert.match(error.message, /\(registry\.test\): .*ECONNREFUSED.*, by the proxy 127\.0\.0\.1:1;/);
          assert.doesNotMatch(inspect(error, { depth: 9 }), /hunter2/);
          return true;
        },
      );
    });

    it('is read through a proxy that speaks TLS, once its certificate is trusted', limit, async (t) => {
      const tls = makeCertificate();
      const refused = await behindProxy(t, { tls });
      await assert.rejects(refused.blob.fetchSuffix(10, signal), {
        code: 'untrusted',
        message: /by the proxy localhost:/,
      });
      const defaults = getCACertificates('default');
      setDefaultCACertificates([...defaults, tls.certPem]);
      t.after(() => setDefaultCACertificates(defaults));
      const { proxy, blob } = await behindProxy(t, { tls });
      assert.ok((await blob.fetchSuffix(10, signal)).bytes.equals(stored.content.subarray(-10)));
      assert.equal(proxy.asked.length, 1);
    });

    it('is not used for loopback', limit, async (t) => {
      const { proxy, client } = await behindProxy(t, {});
      const source = client.blob(parseReference(`${stored.registry.host}/${stored.repository}`), stored.digest);
      assert.equal((await source.fetchSuffix(10, signal)).bytes.length, 10);
      assert.deepEqual(proxy.asked, []);
    });
  });
}

describe('a proxy that refuses a tunnel', () => {
  it('is named with its status: 403 at once, 503 after retries', limit, async (t) => {
    for (const [refusesWith, code, attempts] of [
      [403, 'refused', 1],
      [503, 'unreachable', 3],
    ] as const) {
      const proxy = await startForwardProxy({ upstream: '127.0.0.1:1', refusesWith });
      t.after(() => proxy.close());
      const env = { HTTPS_PROXY: proxy.host };
      const client = new RegistryClient({ env, retry: { maxRetries: 2, minWaitMs: 1 } });
      t.after(() => client.close());
      await assert.rejects(client.fetchManifest(parseReference('registry.test/a:b'), signal), {
        code,
        message: new RegExp(
          `the proxy ${proxy.host} refused with HTTP ${refusesWith}; check the proxy, or set NO_PROXY`,
        ),
      });
      assert.equal(proxy.asked.length, attempts);
    }
  });
});
