import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { mediaTypes, hostPlatform } from '../../../../snapshotter/registry/manifest.ts';
import { RegistryClient } from '../../../../snapshotter/registry/client.ts';
import { parseReference } from '../../../../snapshotter/registry/reference.ts';
import { writeInto } from '../../../../testkit/images.ts';
import { type Lifetime, undoAfter } from '../../../../testkit/lifetime.ts';
import { startRegistry } from '../../../../testkit/registry.ts';
import { type Fault, status } from '../../../../testkit/registry-simulator/fault.ts';
import { PullLimit } from '../../../../testkit/registry-simulator/pull-limit.ts';
import { type RegistrySimulator, startRegistrySimulator } from '../../../../testkit/registry-simulator/simulator.ts';
import { fillShell, pushImage } from '../../../images/synthetic-image.ts';

const user = 'bench';
/** Of a registry that lives for one test. */
const password = 'correct horse';
/** Clients learn from a 403 that a URL has expired. */
const urlLifetimeMs = 1500;

/** A stand-in for Docker Hub that goes by its name: a real registry, TLS, tokens, signed URLs, and the limit. */
export interface DockerHub {
  readonly simulator: RegistrySimulator;
  readonly limit: PullLimit;
  /** containerd's, which leads `docker.io` here. */
  readonly hostsDirectory: string;
  /** A directory for DOCKER_CONFIG. */
  login(name: string, password?: string): string;
  /** Pushes an official image, past the front. */
  pushOfficial(name: string, signal: AbortSignal): Promise<void>;
  /** Refuses the next manifests, uploads and tags with 429 and a Retry-After of one second, `times` in all. */
  beBusy(times: number): void;
  /** The tags of a repository. */
  tags(repository: string): Promise<readonly string[]>;
}

/** Files go below `directory`. */
export async function startDockerHub(lifetime: Lifetime, directory: string, pulls: number): Promise<DockerHub> {
  const upstream = await startRegistry(lifetime);
  const limit = new PullLimit(pulls);
  const simulator = await startRegistrySimulator({
    upstream: upstream.host,
    tls: true,
    auth: { kind: 'token', users: { [user]: password }, anonymousPull: true, lifetimeMs: 5000 },
    hasTokenHost: true,
    cdnLifetimeMs: urlLifetimeMs,
    cdnTellsExpiry: false,
    faults: [limit.fault],
  });
  undoAfter(lifetime, () => simulator.close());
  const hostsDirectory = join(directory, 'hosts');
  const place = join(hostsDirectory, 'docker.io');
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'ca.crt'), simulator.caPem!);
  const server = `https://${simulator.host}`;
  const capabilities = ['pull', 'resolve', 'push'];
  const own = { ca: join(place, 'ca.crt'), capabilities };
  // containerd 1.x refuses a file without a host table; with `server`, the real hub is never asked.
  writeFileSync(join(place, 'hosts.toml'), stringify({ server, ...own, host: { [server]: own } }));
  return {
    simulator,
    limit,
    hostsDirectory,
    login(name, given = password) {
      const config = join(directory, name);
      const auth = { auth: Buffer.from(`${user}:${given}`).toString('base64') };
      mkdirSync(config, { recursive: true });
      // Docker files them under its own key; the daemon's client knows the server that stands in for the hub by its address.
      const auths = { 'https://index.docker.io/v1/': auth, [simulator.host]: auth };
      writeFileSync(join(config, 'config.json'), JSON.stringify({ auths }), { mode: 0o600 });
      return config;
    },
    pushOfficial: (name, signal) => pushOfficial(upstream.host, name, signal),
    beBusy(times) {
      const bend = status(429, { 'retry-after': '1' });
      const busy: Fault = { name: 'busy', on: ['manifest', 'upload', 'tag'], times, harmless: true, bend };
      simulator.behave({ faults: [limit.fault, busy] });
    },
    async tags(repository) {
      const answer = await fetch(`http://${upstream.host}/v2/${repository}/tags/list`);
      return answer.ok ? ((await answer.json()) as { tags: string[] }).tags.sort() : [];
    },
  };
}

/** An official image an index: a shell, and enough bytes to tell a bandwidth from. */
async function pushOfficial(upstreamHost: string, name: string, signal: AbortSignal): Promise<void> {
  const client = new RegistryClient();
  try {
    const reference = `${upstreamHost}/library/${name}`;
    const layers = [fillShell, writeInto('data', randomBytes(3 * 2 ** 20))];
    const { digest, sizeBytes } = await pushImage(client, { reference, layers, isTagged: false }, signal);
    const platform = hostPlatform();
    const manifests = [{ mediaType: mediaTypes.ociManifest, digest, size: sizeBytes, platform }];
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
    const bytes = Buffer.from(JSON.stringify(index));
    await client.pushManifest(parseReference(reference), mediaTypes.ociIndex, bytes, signal);
  } finally {
    await client.close();
  }
}
