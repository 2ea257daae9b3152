import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { convertImage } from '../convert/image.ts';
import { RegistryClient } from '../registry/client.ts';
import { parseReference } from '../registry/reference.ts';
import { startDockerRegistry, type TestRegistry } from '../registry/testing/docker-registry.ts';
import { type RegistrySimulator, startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';
import { mountsBelow, unmount } from '../service/testing/mounts.ts';
import { startContainerd, startDaemon, type TestDaemon, type TestProcess } from '../service/testing/process.ts';
import { criConfig, type Kubelet, openKubelet } from '../testing/cri.ts';
import { copyPrograms, pushImage } from '../testing/image.ts';

const limit = { timeout: 90_000 };
const content = Buffer.alloc(5_000_000, 'content ');
const checksum = execFileSync('cksum', { input: content, encoding: 'utf8' }).trim();

describe('a kubelet pulls with its own credentials from a registry that misbehaves', { timeout: 180_000 }, () => {
  let directory: string;
  let registry: TestRegistry;
  let simulator: RegistrySimulator;
  let daemon: TestDaemon;
  let containerd: TestProcess;
  let kubelet: Kubelet;
  const auth = { username: 'kubelet', password: 'from-a-pull-secret' };

  before(async () => {
    directory = mkdtempSync('/tmp/hst-');
    registry = await startDockerRegistry();
    const signal = AbortSignal.timeout(limit.timeout);
    const client = new RegistryClient();
    const at = (name: string) => parseReference(`${registry.host}/${name}:latest`);
    const programs = (root: string) => copyPrograms(root, ['/bin/sh', '/bin/cat', '/bin/sleep', '/usr/bin/cksum']);
    const data = (root: string) => writeFileSync(join(root, 'content'), content);
    const command = ['/bin/sleep', '1000'];
    await pushImage(client, { name: `${registry.host}/pause:latest`, layers: [programs], command }, signal);
    await pushImage(client, { name: `${registry.host}/plain:latest`, layers: [programs, data], command }, signal);
    await convertImage(client, at('plain'), at('lazy'), { format: 'estargz', signal });
    await client.close();

    simulator = await startRegistrySimulator({
      upstream: registry.host,
      auth: { kind: 'token', users: { [auth.username]: auth.password }, lifetimeMs: 5000 },
      cdnLifetimeMs: 2500,
      cdnTellsExpiry: false,
      weather: { tooManyRequests: 0.1, retryAfterSec: 1, serverError: 0.05, reset: 0.1, cut: 0.1 },
      seed: 3,
    });
    const config = `disable_verification = true
[cri_keychain]
enable_keychain = true
image_service_path = "${join(directory, 'c/containerd.sock')}"
`;
    // No other keychain has anything to offer.
    daemon = await startDaemon(directory, {
      config,
      logLevel: 'trace',
      env: { DOCKER_CONFIG: join(directory, 'nothing') },
    });
    const extraConfig = criConfig(directory, daemon.address, `${registry.host}/pause:latest`);
    containerd = await startContainerd(join(directory, 'c'), { extraConfig });
    kubelet = openKubelet(directory, containerd.address, daemon.address);
  }, limit);

  after(async () => {
    kubelet?.close();
    await containerd?.stop();
    await daemon?.stop();
    await simulator?.close();
    await registry?.close();
    for (const point of mountsBelow(directory)) await unmount(point);
    rmSync(directory, { recursive: true, force: true });
  });

  /** Those of the daemon's own, not what is mounted there. */
  function filesWith(text: string): string[] {
    const search = ['-xdev', '-type', 'f', '-exec', 'grep', '-lF', text, '{}', '+'];
    return spawnSync('find', [join(directory, 'root'), ...search], { encoding: 'utf8' })
      .stdout.split('\n')
      .filter((line) => line !== '');
  }

  test('without credentials nothing is pulled', limit, async () => {
    await assert.rejects(kubelet.pull(`${simulator.host}/lazy:latest`));
    assert.equal(simulator.issuedTokens(), 0);
  });

  test('with them the image is mounted lazily and runs, and no secret is written', limit, async (t) => {
    const image = `${simulator.host}/lazy:latest`;
    // Containerd gives up on a manifest after a few failures; a kubelet asks again.
    for (let attempt = 1; ; attempt++) {
      try {
        await kubelet.pull(image, auth);
        break;
      } catch (error) {
        if (attempt === 30) throw error;
      }
    }
    const command = ['/bin/sh', '-c', 'cksum < /content'];
    const { exitCode, output } = await kubelet.run(image, command);
    assert.deepEqual([exitCode, output.trimEnd()], [0, checksum], daemon.log());
    const { counters, fallbacks } = daemon.status();
    assert.equal(counters.lazyMounts, 2);
    assert.deepEqual(
      fallbacks.filter((fallback) => fallback.image === image),
      [],
    );
    assert.equal(simulator.counts.leaks, 0);
    const { tooManyRequests, serverErrors, resets, cuts, requests } = simulator.counts;
    const trouble = tooManyRequests + serverErrors + resets + cuts;
    assert.ok(trouble > 0, 'nothing went wrong');
    assert.ok(requests < 300, `${requests} requests, ${trouble} of them spoilt`);
    t.diagnostic(JSON.stringify(simulator.counts));
    const log = daemon.log();
    const secrets = [auth.password, Buffer.from(`${auth.username}:${auth.password}`).toString('base64'), 'Signature='];
    for (const secret of secrets) {
      assert.ok(!log.includes(secret), 'a secret was logged');
      assert.deepEqual(filesWith(secret), [], 'a secret was written');
    }
    assert.notDeepEqual(filesWith('/lazy:latest'), []);
    assert.ok(log.includes('"level":"trace"'), 'not all that the daemon may log was looked at');
  });
});
