import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { debianMirrors, parseDeb822, parseOneLine, readAptSources } from './apt-sources.ts';

test('one-line sources are read with and without options; deb-src lines are skipped', () => {
  const sources = parseOneLine(
    [
      '# deb http://old.example/debian bookworm main',
      'deb http://a.example/debian bookworm main contrib # ours',
      'deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] https://b.example/x/ noble main',
      'deb-src http://a.example/debian bookworm main',
      '',
    ].join('\n'),
  );
  assert.deepEqual(sources, [
    { uri: 'http://a.example/debian', suite: 'bookworm', components: ['main', 'contrib'] },
    { uri: 'https://b.example/x/', suite: 'noble', components: ['main'] },
  ]);
});

test('a deb822 stanza combines each URI with each suite; a disabled stanza is skipped', () => {
  const sources = parseDeb822(
    [
      'Types: deb deb-src',
      '# a comment inside',
      'URIs: http://a.example/debian http://b.example/debian',
      'Suites: trixie',
      ' trixie-updates',
      'Components: main',
      '',
      'Types: deb',
      'Enabled: no',
      'URIs: http://c.example/debian',
      'Suites: trixie',
      'Components: main',
      '',
      'Types: deb-src',
      'URIs: http://d.example/debian',
      'Suites: trixie',
      'Components: main',
    ].join('\n'),
  );
  assert.deepEqual(
    sources.map((source) => `${source.uri} ${source.suite}`),
    [
      'http://a.example/debian trixie',
      'http://a.example/debian trixie-updates',
      'http://b.example/debian trixie',
      'http://b.example/debian trixie-updates',
    ],
  );
});

test('both formats are found below /etc/apt, and other files are ignored', { timeout: 10_000 }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'apt-sources-'));
  t.after(() => rm(dir, { recursive: true }));
  await mkdir(join(dir, 'sources.list.d'));
  await writeFile(join(dir, 'sources.list'), 'deb http://a.example/debian sid main\n');
  await writeFile(join(dir, 'sources.list.d/x.sources'), 'Types: deb\nURIs: http://b.example\nSuites: sid\n');
  await writeFile(join(dir, 'sources.list.d/y.list.save'), 'deb http://c.example/debian sid main\n');
  const sources = await readAptSources(dir);
  assert.deepEqual(
    sources.map((source) => source.uri),
    ['http://a.example/debian', 'http://b.example'],
  );
  assert.deepEqual(await readAptSources(join(dir, 'absent')), []);
});

test('the mirrors of a Debian host are used for another suite', () => {
  const mirrors = debianMirrors('bookworm', { id: 'debian', codename: 'trixie' }, [
    { uri: 'http://third.example/debian', suite: 'trixie', components: ['stable'] },
    { uri: 'http://m.example/debian', suite: 'trixie', components: ['main'] },
    { uri: 'http://m.example/security', suite: 'trixie-security', components: ['main'] },
  ]);
  assert.deepEqual(
    mirrors.map((mirror) => `${mirror.uri} ${mirror.suite}`),
    [
      'http://m.example/debian bookworm',
      'http://m.example/debian bookworm-updates',
      'http://m.example/security bookworm-security',
    ],
  );
});

test('an Ubuntu host uses the public Debian mirrors', () => {
  const mirrors = debianMirrors('bookworm', { id: 'ubuntu', codename: 'noble' }, [
    { uri: 'http://m.example/ubuntu', suite: 'noble', components: ['main'] },
  ]);
  assert.ok(mirrors.every((mirror) => mirror.uri.startsWith('http://deb.debian.org/')));
  assert.equal(mirrors.length, 3);
});

test('a source that is not HTTP is not used', () => {
  const mirrors = debianMirrors('bookworm', { id: 'debian', codename: 'bookworm' }, [
    { uri: 'cdrom:[Debian]/', suite: 'bookworm', components: ['main'] },
    { uri: 'mirror+file:/etc/apt/mirrors.list', suite: 'bookworm', components: ['main'] },
  ]);
  assert.equal(mirrors[0]!.uri, 'http://deb.debian.org/debian');
});
