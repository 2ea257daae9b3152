import assert from 'node:assert/strict';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { matchAuths, parseSecretJson, readAuths } from './auth-file.ts';
import { parseChallenges } from './challenge.ts';
import { parseContentRange } from './content-range.ts';
import { parseHostsToml } from './hosts-toml.ts';
import { parseManifest } from './manifest.ts';
import { formatReference, parseReference } from './reference.ts';
import { readTokenService } from './token.ts';

const secret = 'hunter2hunter2';
const digest = `sha256:${'ab'.repeat(32)}`;
const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
const ociIndex = 'application/vnd.oci.image.index.v1+json';
const descriptor = {
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  digest,
  size: 5,
  urls: ['https://a.test/'],
};

export const targets: readonly FuzzTarget[] = [
  {
    name: 'auth-challenge',
    seeds: [
      'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a/b:pull"',
      'Basic realm="a \\"b\\"", Bearer realm=https://x.test, Negotiate dG9rZW4=',
    ].map((text) => Buffer.from(text)),
    dictionary: ['realm=', 'service="', 'scope=', ',', '\\"', '=', 'Bearer ', 'http://', 'file:///'],
    run(input) {
      for (const challenge of parseChallenges(input.toString('latin1'))) {
        const service = readTokenService(challenge);
        assert.ok(service === undefined || ['http:', 'https:'].includes(service.realm.protocol));
      }
    },
  },
  {
    name: 'credential-file',
    seeds: [
      JSON.stringify({ auths: { 'registry.test': { auth: Buffer.from(`user:${secret}`).toString('base64') } } }),
      JSON.stringify({
        auths: {
          '*.test/team/': { username: 'u', password: secret },
          'https://index.docker.io/v1/': { identitytoken: secret },
        },
      }),
    ].map((text) => Buffer.from(text)),
    dictionary: [
      '"auths":',
      '"auth":"',
      '"identitytoken":"',
      '"registrytoken":"',
      'https://',
      '*',
      'null',
      '[]',
      '__proto__',
    ],
    run(input) {
      try {
        const entries = readAuths(parseSecretJson(input.toString('utf8'), 'config.json').auths, 'config.json');
        for (const { credential } of matchAuths(entries, 'registry.test', 'team/image')) assert.ok(credential.kind);
      } catch (error) {
        assert.equal((error as Error).name, 'RegistryError', String((error as Error).stack));
        assert.ok(!String((error as Error).message).includes(secret), 'an error message contains a secret');
      }
    },
  },
  {
    name: 'hosts-toml',
    seeds: [
      'server = "https://a.test"\n[host."https://m.test/v2/x"]\ncapabilities = ["pull"]\noverride_path = true\nskip_verify = true\n[host."https://m.test/v2/x".header]\nx = ["1"]\n',
      'ca = "ca.pem"\nclient = [["c.pem", "k.pem"]]\n',
    ].map((text) => Buffer.from(text)),
    dictionary: [
      '[host."',
      'capabilities = ',
      'ca = ',
      'client = ',
      'dial_timeout = "1s"',
      'http://[::1]:5000',
      '__proto__',
    ],
    run(input) {
      refusing(['RegistryError'], () => void parseHostsToml(input.toString('utf8'), '/certs.d/a.test', () => 'PEM'));
    },
  },
  {
    name: 'manifest',
    seeds: [
      { schemaVersion: 2, mediaType: ociManifest, config: { ...descriptor, size: 2 }, layers: [descriptor] },
      {
        schemaVersion: 2,
        mediaType: ociIndex,
        manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'amd64' } }],
      },
    ].map((value) => Buffer.from(JSON.stringify(value))),
    dictionary: ['"layers":', '"manifests":', '"platform":', '"annotations":{', '"size":-1', 'null', '[]', '{}'],
    run(input) {
      for (const mediaType of [ociManifest, ociIndex])
        refusing(['RegistryError'], () => void parseManifest(input, mediaType));
    },
  },
  {
    name: 'reference',
    seeds: ['registry.test:5000/a/b:tag', `docker.io/library/x@${digest}`, 'ubuntu'].map((text) => Buffer.from(text)),
    dictionary: ['@sha256:', ':', '/', '[::1]', '..'],
    run(input) {
      refusing(['RegistryError'], () => {
        const reference = parseReference(input.toString('utf8'));
        assert.deepEqual(parseReference(formatReference(reference)), reference, 'the reference does not round-trip');
      });
    },
  },
  {
    name: 'content-range',
    seeds: ['bytes 0-99/1000', 'bytes 5-5/*', 'bytes */1000'].map((text) => Buffer.from(text)),
    run(input) {
      const range = parseContentRange(input.toString('latin1'));
      if (range !== undefined) assert.ok(range.start >= 0 && range.end > range.start, JSON.stringify(range));
    },
  },
];
