import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { execa } from 'execa';
import { explainDownload, parsePackageName, unpackDebianPackage } from './debian-package.ts';

const timeout = 30_000;
let scratch: string;
let mirror: Server;
let source: string;
/** The requested paths, and what is answered instead of the file. */
let requests: string[] = [];
let tamper: ((path: string, bytes: Buffer) => Buffer) | undefined;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bench-package-'));
  const files = join(scratch, 'mirror');
  await buildMirror(files);
  mirror = createServer(async (request, response) => {
    const path = request.url!;
    requests.push(path);
    const bytes = await readFile(join(files, path)).catch(() => undefined);
    if (bytes === undefined) response.writeHead(404).end();
    else response.end(tamper?.(path, bytes) ?? bytes);
  });
  await new Promise<void>((resolve) => mirror.listen(0, '127.0.0.1', resolve));
  source = `deb [trusted=yes target=Packages] http://127.0.0.1:${(mirror.address() as AddressInfo).port} x main`;
});

after(async () => {
  mirror?.closeAllConnections();
  mirror?.close();
  await rm(scratch, { recursive: true, force: true });
});

/** A mirror of one suite with one package of one file, unsigned. */
async function buildMirror(root: string): Promise<void> {
  const { stdout: architecture } = await execa('dpkg', ['--print-architecture']);
  const tree = join(scratch, 'tree');
  const control = [
    'Package: greeter',
    'Version: 1:2.0~x-1',
    `Architecture: ${architecture}`,
    'Depends: no-such-package',
    'Maintainer: Nobody <nobody@example.org>',
    'Description: greets',
  ];
  await mkdir(join(tree, 'DEBIAN'), { recursive: true });
  await mkdir(join(tree, 'usr/bin'), { recursive: true });
  await writeFile(join(tree, 'DEBIAN/control'), `${control.join('\n')}\n`);
  await writeFile(join(tree, 'usr/bin/greeter'), '#!/bin/sh\necho hello\n', { mode: 0o755 });
  await mkdir(join(root, 'pool'), { recursive: true });
  await execa('dpkg-deb', ['--build', tree, join(root, 'pool/greeter.deb')]);
  const bytes = await readFile(join(root, 'pool/greeter.deb'));
  const stanza = [
    ...control,
    'Filename: pool/greeter.deb',
    `Size: ${bytes.length}`,
    `SHA256: ${createHash('sha256').update(bytes).digest('hex')}`,
  ];
  const index = `main/binary-${architecture}/Packages`;
  const list = Buffer.from(`${stanza.join('\n')}\n`);
  await mkdir(join(root, 'dists/x', index, '..'), { recursive: true });
  await writeFile(join(root, 'dists/x', index), list);
  const sha256 = createHash('sha256').update(list).digest('hex');
  const release = `Suite: x\nCodename: x\nDate: ${new Date().toUTCString()}\nArchitectures: ${architecture}\nComponents: main\nSHA256:\n ${sha256} ${list.length} ${index}\n`;
  await writeFile(join(root, 'dists/x/Release'), release);
}

test("name and version are parsed from the name of a package's file", () => {
  assert.deepEqual(parsePackageName('greeter_1%3a2.0~x-1_amd64'), { name: 'greeter', version: '1:2.0~x-1' });
  assert.deepEqual(parsePackageName('g++-12_12.2.0-14+deb12u1_all'), { name: 'g++-12', version: '12.2.0-14+deb12u1' });
  for (const name of ['.download-abc', 'greeter', 'greeter_1', 'a/b_1_all', '']) {
    assert.equal(parsePackageName(name), undefined);
  }
});

test('a package is unpacked without its dependencies, and found again without the mirror', {
  timeout,
}, async (t) => {
  requests = [];
  const request = { name: 'greeter', suite: 'x', cacheDir: join(scratch, 'cache'), source };
  const [first, second] = await Promise.all([
    unpackDebianPackage(request, t.signal),
    unpackDebianPackage(request, t.signal),
  ]);
  assert.equal(first.version, '1:2.0~x-1');
  assert.deepEqual(second, first);
  assert.equal((await execa(join(first.root, 'usr/bin/greeter'))).stdout, 'hello');
  assert.deepEqual(await readdir(join(scratch, 'cache/x')), [first.root.slice(first.root.lastIndexOf('/') + 1)]);
  assert.ok(requests.length > 0);
  requests = [];
  assert.deepEqual(await unpackDebianPackage(request, t.signal), first);
  assert.deepEqual(requests, []);
});

test('a package with another digest than the list says is refused, and nothing is kept', { timeout }, async (t) => {
  const cacheDir = join(scratch, 'tampered');
  tamper = (path, bytes) => {
    if (!path.endsWith('.deb')) return bytes;
    const copy = Buffer.from(bytes);
    copy[copy.length - 1]! ^= 1;
    return copy;
  };
  t.after(() => {
    tamper = undefined;
  });
  const unpacking = unpackDebianPackage({ name: 'greeter', suite: 'x', cacheDir, source }, t.signal);
  await assert.rejects(unpacking, { name: 'HarnessError', message: /cannot download greeter .*Hash Sum mismatch/ });
  assert.deepEqual(await readdir(join(cacheDir, 'x')), []);
});

test('a list that is not signed with the required key is refused', { timeout }, async (t) => {
  const signed = source.replace('trusted=yes', 'signed-by=/usr/share/keyrings/debian-archive-keyring.gpg');
  const unpacking = unpackDebianPackage(
    { name: 'greeter', suite: 'x', cacheDir: join(scratch, 'unsigned'), source: signed },
    t.signal,
  );
  await assert.rejects(unpacking, { message: /cannot download greeter .*not signed/ });
});

test('an unreachable mirror is named, with the remedy', { timeout }, async (t) => {
  const closed = createTcpServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const unpacking = unpackDebianPackage(
    { name: 'greeter', suite: 'x', cacheDir: join(scratch, 'none'), source: `deb http://127.0.0.1:${port} x main` },
    t.signal,
  );
  await assert.rejects(unpacking, {
    code: 'network',
    message: new RegExp(`from http://127.0.0.1:${port} x main: .*Connection refused`),
    remedy: /reachable .*dpkg-deb -x/,
  });
});

test('a package that the suite does not have is reported as missing', { timeout }, async (t) => {
  const unpacking = unpackDebianPackage(
    { name: 'no-such-package', suite: 'x', cacheDir: join(scratch, 'absent'), source },
    t.signal,
  );
  await assert.rejects(unpacking, { code: 'package-install', message: /: E: .*no-such-package/ });
});

test('credentials of a mirror are not in the message', () => {
  const request = { name: 'greeter', suite: 'x', cacheDir: '/c' };
  const line = 'deb [trusted=yes] https://me:secret@m.example/debian x main';
  const { message } = explainDownload(request, line, 'E: Failed to fetch https://me:secret@m.example/x.deb  404');
  assert.match(message, /m\.example/);
  assert.doesNotMatch(message, /secret|trusted/);
});
