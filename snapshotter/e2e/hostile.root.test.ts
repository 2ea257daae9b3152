import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { execa } from 'execa';
import { startContainerd } from '../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../testkit/daemon.ts';
import { copyPrograms, pushLazy, pushPause, writeInto } from '../../testkit/images.ts';
import { type Kubelet, openKubelet } from '../../testkit/kubelet.ts';
import { suiteLifetime, undoAfter } from '../../testkit/lifetime.ts';
import { startRegistry } from '../../testkit/registry.ts';
import { type RegistrySimulator, startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';

const limit = { timeout: 90_000 };
const content = Buffer.alloc(5_000_000, 'content ');
const checksum = execFileSync('cksum', { input: content, encoding: 'utf8' }).trim();

describe('a kubelet pulls with its own credentials from a registry that misbehaves', { timeout: 180_000 }, () => {
  const suite = suiteLifetime();
  let directory: string;
  let simulator: RegistrySimulator;
  let daemon: TestDaemon;
  let kubelet: Kubelet;
  const auth = { username: 'kubelet', password: 'from-a-pull-secret' };

  before(async () => {
    directory = openScratch(suite, 'hst');
    const registry = await startRegistry(suite);
    const pauseImage = `${registry.host}/pause:latest`;
    await pushPause(pauseImage);
    await pushLazy({
      reference: `${registry.host}/lazy:latest`,
      layers: [copyPrograms(['/bin/sh', '/bin/cat', '/bin/sleep', '/usr/bin/cksum']), writeInto('content', content)],
    });
    simulator = await startRegistrySimulator({
      upstream: registry.host,
      auth: { kind: 'token', users: { [auth.username]: auth.password }, lifetimeMs: 5000 },
      cdnLifetimeMs: 2500,
      cdnTellsExpiry: false,
      weather: { tooManyRequests: 0.1, retryAfterSec: 1, serverError: 0.05, reset: 0.1, cut: 0.1 },
      seed: 3,
    });
    undoAfter(suite, () => simulator.close());
    const config = `disable_verification = true
[cri_keychain]
enable_keychain = true
image_service_path = "${join(directory, 'c/containerd.sock')}"
`;
    // So that no other keychain has credentials.
    daemon = await startDaemon(suite, directory, {
      config,
      logLevel: 'trace',
      env: { DOCKER_CONFIG: join(directory, 'nothing') },
    });
    const { address } = await startContainerd(suite, join(directory, 'c'), {
      snapshotter: 'stargz',
      snapshotterAddress: daemon.address,
      pauseImage,
    });
    kubelet = openKubelet(suite, directory, address, daemon.address);
  }, limit);

  /** Files of the daemon itself, without what is mounted below its root. Not in this thread: it serves the holes of data files. */
  async function filesWith(text: string): Promise<string[]> {
    const search = ['-xdev', '-type', 'f', '-exec', 'grep', '-lF', text, '{}', '+'];
    const { stdout } = await execa('find', [join(directory, 'root'), ...search], { reject: false });
    return stdout.split('\n').filter((line) => line !== '');
  }

  test('without credentials nothing is pulled', limit, async () => {
    await assert.rejects(kubelet.pull(`${simulator.host}/lazy:latest`));
    assert.equal(simulator.issuedTokens(), 0);
  });

  test('with them the image is mounted lazily and runs, and no secret is written', limit, async (t) => {
    const image = `${simulator.host}/lazy:latest`;
    // containerd gives up on a manifest after a few failures; a kubelet retries.
    await until('a pull', () => kubelet.pull(image, auth), { limitMs: 60_000 });
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
      assert.deepEqual(await filesWith(secret), [], 'a secret was written');
    }
    assert.notDeepEqual(await filesWith('/lazy:latest'), []);
    assert.ok(log.includes('"level":"trace"'), 'not all that the daemon may log was looked at');
  });
});
