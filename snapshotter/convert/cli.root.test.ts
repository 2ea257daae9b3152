import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startRegistry } from '../../testkit/registry.ts';
import { RegistryClient } from '../registry/client.ts';
import { parseReference } from '../registry/reference.ts';
import { startForwardProxy } from '../registry/testing/forward-proxy.ts';
import { run } from './testing/command.ts';
import { pushDockerImage } from './testing/image.ts';
import { packTree } from './testing/source-tree.ts';

test('the command converts an image and prints its reference, or reports an error in one line', {
  timeout: 120_000,
}, async (t) => {
  const registry = await startRegistry(t);
  const client = new RegistryClient();
  const directory = mkdtempSync(join(tmpdir(), 'convert-cli-'));
  try {
    const source = `${registry.host}/cli/src:1`;
    const target = `${registry.host}/cli/out:1`;
    const tar = packTree([{ kind: 'file', path: 'usr/bin/tool', content: Buffer.alloc(70_000, 'tool') }]);
    const { layers } = await pushDockerImage(client, parseReference(source), [tar]);
    const record = join(directory, 'accesses.jsonl');
    writeFileSync(record, `{"layer":"${layers[0]}","path":"usr/bin/tool"}\n`);
    const good = await run([source, target, '--record-in', record, '--cache-dir', join(directory, 'cache')]);
    assert.equal(good.status, 0, good.stderr);
    assert.match(good.stderr, /^layer 1\/1 [0-9a-f]{12} {2}0\.0 MB {2}pushed\n$/);
    const { digest } = await client.fetchManifest(parseReference(target), AbortSignal.timeout(10_000));
    assert.equal(good.stdout, `${target}@${digest}\n`);

    writeFileSync(record, 'nonsense\n');
    const failures: [string[], number, RegExp][] = [
      [[source], 2, /got 1 names \(see --help\)/],
      [[`${registry.host}/cli/none:1`, target], 1, /cli\/none/],
      [['127.0.0.1:1/cli/src:1', target], 1, /127\.0\.0\.1:1.*check the name, the port and the network/],
      [[source, target, '--record-in', record], 1, /line 1 is not/],
      [[source, target, '--record-in', join(directory, 'gone')], 1, /there is no .*gone/],
      [[source, target, '--cache-dir', join(record, 'cache')], 1, /accesses\.jsonl.*choose another --cache-dir/],
    ];
    const outcomes = await Promise.all(failures.map(([argv]) => run(argv)));
    for (const [index, [argv, status, message]] of failures.entries()) {
      const outcome = outcomes[index]!;
      assert.equal(outcome.status, status, `${argv.join(' ')}: ${outcome.stderr}`);
      assert.match(outcome.stderr, message);
      assert.match(outcome.stderr, /^convert: [^\n]+\n$/);
      assert.equal(outcome.stdout, '');
    }
    const help = await run(['--help']);
    assert.deepEqual([help.status, help.stderr], [0, '']);
    assert.match(help.stdout, /--format FORMAT/);
  } finally {
    await client.close();
    rmSync(directory, { recursive: true, force: true });
  }
});

test('registries are reached through the proxy in the environment, whose credentials are not printed', {
  timeout: 60_000,
}, async (t) => {
  const registry = await startRegistry(t);
  const proxy = await startForwardProxy({ upstream: registry.host, credentials: 'me:hunter2' });
  const client = new RegistryClient();
  try {
    const tar = packTree([{ kind: 'file', path: 'usr/bin/tool', content: Buffer.alloc(70_000, 'tool') }]);
    await pushDockerImage(client, parseReference(`${registry.host}/cli/src:1`), [tar]);
    const names = ['registry.test/cli/src:1', 'registry.test/cli/out:1', '--plain-http'];
    const through = { HTTP_PROXY: `http://me:hunter2@${proxy.host}`, NO_PROXY: 'other.test' };
    const good = await run(names, { env: through });
    assert.equal(good.status, 0, good.stderr);
    assert.ok(proxy.asked.includes('PUT http://registry.test/v2/cli/out/manifests/1'));

    const bad = await run(names, { env: { ...through, HTTP_PROXY: `http://me:*hunter2*@${proxy.host}` } });
    assert.equal(bad.status, 1);
    assert.match(bad.stderr, /^convert: .* \(registry\.test\): the proxy .* refused with HTTP 407; [^\n]+\n$/);
    for (const shown of [good.stdout, good.stderr, bad.stdout, bad.stderr]) assert.doesNotMatch(shown, /hunter2/);
  } finally {
    await client.close();
    await proxy.close();
  }
});
