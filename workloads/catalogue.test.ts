import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { defaultWorkloads, loadCatalogue, workloads } from './catalogue.ts';
import { WorkloadError } from './error.ts';
import { categories, type ImageRecipe, styleOf } from './workload.ts';

const limit = { timeout: 10_000 };

test('at least 40 workloads cover every category and every style', limit, () => {
  assert.ok(workloads.length >= 40, `${workloads.length} workloads`);
  assert.deepEqual(new Set(workloads.map(({ category }) => category)), new Set(categories));
  const styles = new Set(workloads.map(styleOf));
  assert.deepEqual([...styles].sort(), ['argument', 'echo', 'http', 'line', 'port', 'stdin']);
  const inputs = workloads.filter((workload) => styleOf(workload) === 'stdin');
  assert.ok(inputs.some(({ mounts }) => mounts === undefined));
  assert.ok(inputs.some(({ mounts }) => mounts !== undefined));
});

test('the default workloads come first, then the categories in their order', limit, () => {
  assert.deepEqual(
    workloads.slice(0, 4).map(({ name }) => name),
    ['python', 'gcc', 'postgres', 'tomcat'],
  );
  assert.deepEqual(defaultWorkloads, workloads.slice(0, 4));
  const ranks = workloads.slice(4).map(({ category }) => categories.indexOf(category));
  assert.deepEqual(
    ranks,
    ranks.toSorted((a, b) => a - b),
  );
});

test('every image is built from Debian, by a Dockerfile that takes its base and runs as a numeric user', limit, () => {
  for (const { image } of workloads) {
    for (let recipe: ImageRecipe | undefined = image; recipe !== undefined; recipe = recipe.parent) {
      const dockerfile = readFileSync(join(recipe.directory, 'Dockerfile'), 'utf8');
      if (recipe.parent === undefined) assert.equal(recipe.name, 'debian');
      else assert.match(dockerfile, /^ARG BASE\nFROM \$BASE/m, recipe.name);
      for (const [, user] of dockerfile.matchAll(/^USER (.*)$/gm)) assert.match(user!, /^\d+:\d+$/, recipe.name);
    }
  }
});

test('an image whose last stage starts from scratch is known to share no layer', limit, () => {
  const alone = workloads.filter(({ image }) => image.isStandalone === true).map(({ name }) => name);
  assert.deepEqual(alone, ['busybox', 'hello-world']);
});

test('shared bases repeat the steps of the images they share layers with, word for word', limit, () => {
  const steps = (path: string) =>
    readFileSync(join(import.meta.dirname, path), 'utf8')
      .replaceAll(/^#.*\n/gm, '')
      .replaceAll(/\n{2,}/g, '\n')
      .replace(/^CMD .*\n/m, '');
  for (const [base, image] of [
    ['bases/buildpack-deps-scm/Dockerfile', 'bases/buildpack-deps/Dockerfile'],
    ['bases/temurin/Dockerfile', 'tomcat/image/Dockerfile'],
  ] as const) {
    assert.ok(steps(image).startsWith(steps(base)), `${image} does not begin as ${base}`);
  }
});

test('README.md has a row for each workload', limit, () => {
  const readme = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');
  const rows = [...readme.matchAll(/^\| `([a-z0-9-]+)` \| ([a-z-]+) \| ([a-z]+) \| /gm)].map((row) => row.slice(1, 4));
  assert.deepEqual(
    rows.map((row) => row.join(' ')).sort(),
    workloads.map((workload) => `${workload.name} ${workload.category} ${styleOf(workload)}`).sort(),
  );
});

const valid = `title = "t"
category = "other"
base = "debian"
[ready]
kind = "exit"
stdout = "hello\\n"
`;

test('a folder loads with its image, mounts, environment and limit', limit, (t) => {
  const root = writeFolders(t, {
    'one/workload.toml': `${valid.replace('[ready]', 'env = ["A=b"]\ntimeout_seconds = 7\nbuild_args = { SIZE = "3" }\n[[mounts]]\nsource = "sources"\ntarget = "/src"\n[ready]')}`,
    'one/image/Dockerfile': 'ARG BASE\nFROM $BASE\n',
    'one/sources/main.c': '',
    'two/workload.toml': valid.replace('base = "debian"', 'image = "one"'),
    'no-workload/README': '',
  });
  const [one, two, ...rest] = loadCatalogue(root, []);
  assert.deepEqual(rest, []);
  assert.equal(one!.image.parent!.name, 'debian');
  assert.deepEqual(one!.image.buildArguments, { SIZE: '3' });
  assert.deepEqual(one!.mounts, [{ source: join(root, 'one/sources'), target: '/src' }]);
  assert.deepEqual([one!.env, one!.timeoutMs, one!.groups], [['A=b'], 7000, ['other']]);
  assert.deepEqual(two!.image, one!.image);
});

test('what a folder gets wrong is one line with the file, the field and the remedy', limit, (t) => {
  for (const [text, message, remedy] of [
    [valid.replace('title = "t"\n', ''), /workload\.toml: title is missing$/, /add a text/],
    [valid.replace('other', 'others'), /category is 'others'/, /distro, database, .*other/],
    [valid.replace('"exit"', '"exits"'), /ready\.kind is 'exits'/, /exit, line, http, port/],
    [valid.replace('stdout', 'stdou'), /ready\.stdout is missing/, /add a text/],
    [`${valid}port = 80\n`, /ready\.port is not known here/, /remove it/],
    [valid.replace('[ready]', 'cmd = ["x"]\n[ready]'), /: cmd is not known here/, /correct its name/],
    [valid.replace('[ready]', 'command = "x"\n[ready]'), /command is not a list of texts/, /\["one", "two"\]/],
    [valid.replace('[ready]', 'env = ["A"]\n[ready]'), /env has 'A'/, /NAME=value/],
    [valid.replace('[ready]', 'hub = "redis"\n[ready]'), /hub is 'redis'/, /name:tag/],
    [valid.replace('[ready]', 'timeout_seconds = 0\n[ready]'), /timeout_seconds is 0/, /from 1 to 3600/],
    [
      valid.replace('[ready]', '[[mounts]]\nsource = "s"\ntarget = "/s"\n[ready]'),
      /mounts\.source names 's'/,
      /beside/,
    ],
    [valid.replace('[ready]', '[[mounts]]\nsource = "s"\ntarget = "s"\n[ready]'), /mounts\.target is 's'/, /absolute/],
    [valid.replace('"debian"', '"alpine"'), /base names 'alpine', which is no image/, /debian, buildpack-deps/],
    [valid.replace('"debian"', '"one"'), /base leads back to itself/, /stands alone/],
    [valid.replace('base = "debian"\n', ''), /base or image is needed/, /image for that of another/],
    [valid.replace(/kind.*/s, 'kind = "line"\npattern = "("\n'), /ready\.pattern is no regular expression/, /correct/],
    [valid.replace(/kind.*/s, 'kind = "http"\nport = 0\npath = "/"\n'), /ready\.port is 0/, /1 to 65535/],
    [valid.replace(/kind.*/s, 'kind = "http"\nport = 80\npath = "x"\n'), /ready\.path is 'x'/, /begin it with \//],
    ['title = ', /is not TOML/, /correct it/],
  ] as const) {
    const root = writeFolders(t, { 'one/workload.toml': text, 'one/image/Dockerfile': '' });
    assert.throws(
      () => loadCatalogue(root, []),
      (error) => {
        assert.ok(error instanceof WorkloadError, String(error));
        assert.match(error.message, message);
        assert.match(error.message, /one\/workload\.toml: /);
        assert.doesNotMatch(error.message, /\n/);
        assert.match(error.remedy, remedy);
        return true;
      },
    );
  }
  const root = writeFolders(t, { 'one/workload.toml': valid });
  assert.throws(() => loadCatalogue(root, []), { message: /base needs an image/, remedy: /image\/Dockerfile/ });
});

function writeFolders(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'bench-workloads-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}
