import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { criKeychain } from './cri-keychain.ts';
import { digestOf } from './digest.ts';
import { parseReference } from './reference.ts';

const signal = new AbortController().signal;
const auth = { username: 'alice', password: 'p' };
const alice = [{ kind: 'basic', username: 'alice', password: 'p' }];

describe('the keychain of CRI pulls', () => {
  it('remembers credentials for the image they came with, under its full name', async () => {
    const keychain = criKeychain();
    keychain.remember('python:3.11', auth);
    const reference = parseReference('docker.io/library/python:3.11');
    assert.deepEqual(await keychain.lookup(reference, 'docker.io', signal), alice);
    assert.deepEqual(await keychain.lookup(reference, 'registry-1.docker.io', signal), alice);
    assert.deepEqual(await keychain.lookup(parseReference('python:3.12'), 'docker.io', signal), []);
    keychain.forget('python:3.11');
    assert.deepEqual(await keychain.lookup(reference, 'docker.io', signal), []);
  });

  it('returns a secret for its own host, and for no mirror', async () => {
    const keychain = criKeychain();
    const reference = parseReference('a.test/x:1');
    keychain.remember('a.test/x:1', auth);
    assert.deepEqual(await keychain.lookup(reference, 'mirror.test', signal), []);
    keychain.remember('a.test/x:1', { ...auth, serverAddress: 'https://mirror.test/v2/' });
    assert.deepEqual(await keychain.lookup(reference, 'mirror.test', signal), alice);
    assert.deepEqual(await keychain.lookup(reference, 'a.test', signal), []);
  });

  it('reads every form that the kubelet sends', async () => {
    const keychain = criKeychain();
    const kinds = async (sent: Parameters<typeof keychain.remember>[1]): Promise<unknown> => {
      keychain.remember('a.test/x', sent);
      return (await keychain.lookup(parseReference('a.test/x'), 'a.test', signal))[0];
    };
    assert.deepEqual(await kinds({ auth: Buffer.from('alice:p\0').toString('base64'), username: '' }), alice[0]);
    assert.deepEqual(await kinds({ identityToken: 'i' }), { kind: 'identity-token', token: 'i' });
    assert.deepEqual(await kinds({ registryToken: 'r' }), { kind: 'registry-token', token: 'r' });
    assert.equal(await kinds({}), undefined);
    assert.equal(await kinds(undefined), undefined);
  });

  it('ignores the tag of an image that has a digest, as containerd does', async () => {
    const keychain = criKeychain();
    const digest = digestOf('x');
    keychain.remember(`a.test/x:1@${digest}`, auth);
    assert.deepEqual(await keychain.lookup(parseReference(`a.test/x@${digest}`), 'a.test', signal), alice);
  });

  it('forgets the least recently pulled image when there are too many', async () => {
    const keychain = criKeychain();
    for (let index = 0; index <= 4096; index++) keychain.remember(`a.test/x:${index}`, auth);
    assert.deepEqual(await keychain.lookup(parseReference('a.test/x:0'), 'a.test', signal), []);
    assert.deepEqual(await keychain.lookup(parseReference('a.test/x:1'), 'a.test', signal), alice);
  });
});
