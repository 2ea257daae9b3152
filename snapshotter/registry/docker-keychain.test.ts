import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { until } from '../../testkit/until.ts';
import { dockerConfigKeychain } from './docker-keychain.ts';
import { parseReference } from './reference.ts';
import { limit } from './testing/fixture.ts';

const signal = new AbortController().signal;
const encode = (text: string): string => Buffer.from(text).toString('base64');

describe('the keychain of docker login', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'docker-keychain-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  async function lookup(config: unknown, image: string, host?: string, helperLimitMs = 5_000) {
    const text = typeof config === 'string' ? config : JSON.stringify(config);
    await writeFile(join(directory, 'config.json'), text);
    const env = { PATH: `${directory}:${process.env.PATH}`, DOCKER_CONFIG: directory };
    const reference = parseReference(image);
    return await dockerConfigKeychain({ env, helperLimitMs }).lookup(reference, host ?? reference.registry, signal);
  }

  async function helper(name: string, script: string): Promise<void> {
    const path = join(directory, `docker-credential-${name}`);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
  }

  it('finds docker.io under https://index.docker.io/v1/ by any of its names', limit, async () => {
    const config = { auths: { 'https://index.docker.io/v1/': { auth: encode('alice:pass:word') } } };
    const alice = [{ kind: 'basic', username: 'alice', password: 'pass:word' }];
    assert.deepEqual(await lookup(config, 'python'), alice);
    assert.deepEqual(await lookup(config, 'python', 'registry-1.docker.io'), alice);
    assert.deepEqual(await lookup(config, 'python', 'mirror.test'), []);
    assert.deepEqual(await lookup(config, 'ghcr.io/a/b'), []);
  });

  it('finds hosts with port, scheme and path, the longest repository prefix first', limit, async () => {
    const config = {
      auths: {
        'https://localhost:5000/v2/': { username: 'port', password: 'p' },
        'quay.io': { auth: encode('all:p') },
        'quay.io/team': { auth: encode('team:p') },
        'quay.io/tea': { auth: encode('never:p') },
        'empty.test': {},
      },
    };
    const names = async (image: string): Promise<unknown[]> =>
      (await lookup(config, image)).map((found) => found.kind === 'basic' && found.username);
    assert.deepEqual(await names('localhost:5000/x'), ['port']);
    assert.deepEqual(await names('localhost:5001/x'), []);
    assert.deepEqual(await names('quay.io/team/x'), ['team', 'all']);
    assert.deepEqual(await names('quay.io/teams/x'), ['all']);
    assert.deepEqual(await names('empty.test/x'), []);
  });

  it('hands out identity tokens', limit, async () => {
    const config = {
      auths: { 'acr.test': { auth: encode('00000000-0000-0000-0000-000000000000:'), identitytoken: 'it' } },
    };
    assert.deepEqual(await lookup(config, 'acr.test/x'), [{ kind: 'identity-token', token: 'it' }]);
  });

  it('asks the helper of a host, passing the server on stdin', limit, async () => {
    const seen = join(directory, 'seen');
    await helper('one', `cat > ${seen}; echo '{"ServerURL":"x","Username":"bob","Secret":"s"}'`);
    const config = { credHelpers: { 'gcr.test': 'one' }, auths: { 'gcr.test': { auth: encode('stale:p') } } };
    assert.deepEqual(await lookup(config, 'gcr.test/x'), [
      { kind: 'basic', username: 'bob', password: 's' },
      { kind: 'basic', username: 'stale', password: 'p' },
    ]);
    assert.equal((await readFile(seen, 'utf8')).trim(), 'gcr.test');
  });

  it('asks the store for every other host, and reads <token> as an identity token', limit, async () => {
    const seen = join(directory, 'seen');
    await helper('store', `cat > ${seen}; echo '{"Username":"<token>","Secret":"refresh"}'`);
    const config = { credsStore: 'store', credHelpers: { 'gcr.test': 'absent' } };
    assert.deepEqual(await lookup(config, 'python'), [{ kind: 'identity-token', token: 'refresh' }]);
    assert.equal((await readFile(seen, 'utf8')).trim(), 'https://index.docker.io/v1/');
  });

  it('treats "credentials not found" as having none', limit, async () => {
    await helper('none', 'echo "credentials not found in native keychain"; exit 1');
    assert.deepEqual(await lookup({ credsStore: 'none' }, 'python'), []);
  });

  it('falls back to auths when a helper fails, and fails if there are none', limit, async () => {
    await helper('broken', 'echo s3cr3t; echo s3cr3t >&2; exit 3');
    const config = { credsStore: 'broken', auths: { 'a.test': { auth: encode('a:p') } } };
    assert.equal((await lookup(config, 'a.test/x')).length, 1);
    await assert.rejects(lookup(config, 'b.test/x'), (error: Error) => {
      assert.match(error.message, /docker-credential-broken for b\.test: it ended with 3/);
      assert.doesNotMatch(String(error.stack), /s3cr3t/);
      return (error as Error & { code: string }).code === 'keychain';
    });
    await assert.rejects(lookup({ credsStore: 'absent' }, 'b.test/x'), { message: /not installed/ });
    await assert.rejects(lookup({ credsStore: '../evil' }, 'b.test/x'), { message: /not the name of a helper/ });
  });

  it('limits the time of a helper, and kills its children too', limit, async () => {
    const pid = join(directory, 'pid');
    await helper('slow', `sleep 600 & echo $! > ${pid}; wait`);
    await assert.rejects(lookup({ credsStore: 'slow' }, 'a.test/x', undefined, 500), {
      message: /no answer within 500 ms/,
    });
    const child = Number(await readFile(pid, 'utf8'));
    const state = (): Promise<string> => readFile(`/proc/${child}/stat`, 'utf8').catch(() => 'gone');
    await until('the end of its child', async () => /^gone$|\) [ZX] /.test(await state()), { limitMs: 10_000 });
  });

  it('returns nothing without a file, and names an unreadable file without quoting it', limit, async () => {
    const env = { DOCKER_CONFIG: join(directory, 'absent') };
    assert.deepEqual(await dockerConfigKeychain({ env }).lookup(parseReference('a'), 'docker.io', signal), []);
    await assert.rejects(lookup('{"auths": s3cr3t', 'a'), (error: Error) => {
      assert.match(error.message, /config\.json: it is not JSON/);
      return !/s3cr3t/.test(String(error.stack));
    });
    await assert.rejects(lookup({ auths: ['x'] }, 'a'), { code: 'keychain' });
  });
});
