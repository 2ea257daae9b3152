import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flag, mounts, optional, out, parseOptions, samples, seed, selected, stateDir, usageOf } from './options.ts';

const known = [{ name: 'python' }, { name: 'gcc' }, { name: 'numpy' }];
const table = {
  workloads: selected('workload', known, 'what is run', { defaults: known.slice(0, 2) }),
  mount: mounts(['fuse']),
  samples: samples(5),
  seed: seed(1, 'of the order'),
  filter: optional('TEXT', 'some', (_, text) => text),
  dryRun: flag('the plan only'),
  out,
  stateDir,
};

test('absent options have their defaults, and given ones are parsed in the order of what is known', () => {
  assert.deepEqual(parseOptions([], table), {
    workloads: known.slice(0, 2),
    mount: ['fuse'],
    samples: 5,
    seed: 1,
    filter: undefined,
    dryRun: false,
    out: 'results',
    stateDir: '/var/lib/stargz-bench',
  });
  const argv = ['--workloads', 'numpy,python', '--mount=erofs,fuse', '--dry-run', '--filter', 'x', '--state-dir', '/s'];
  const values = parseOptions([...argv, '--samples', '9', '--seed', '0', '--out', 'o'], table);
  assert.deepEqual(values, {
    workloads: [known[0], known[2]],
    mount: ['fuse', 'erofs'],
    samples: 9,
    seed: 0,
    filter: 'x',
    dryRun: true,
    out: 'o',
    stateDir: '/s',
  });
});

test('what an option does not accept is a usage error that names it', () => {
  for (const [argv, message] of [
    [['--samples', '0'], /^--samples needs a whole number from 1 to 1000, not '0'$/],
    [['--mount', 'nfs'], /^unknown mount 'nfs'; mounts: fuse, erofs$/],
    [['--dry-run=yes'], /^--dry-run takes no value$/],
    [['--state-dir', ''], /^--state-dir needs a directory$/],
    [['--sample', '3'], /^unknown option '--sample'; options: --workloads, --mount, --samples/],
    [['more'], /^unexpected argument 'more'/],
  ] as const) {
    assert.throws(() => parseOptions(argv, table), { code: 'usage', message });
  }
});

test('a group, a pattern and all of them select as names do, and each in the order of what is known', () => {
  const items = [
    { name: 'python', groups: ['language', 'default'] },
    { name: 'gcc', groups: ['language'] },
    { name: 'php-apache', groups: ['web-server'] },
  ];
  const select = (text: string) =>
    parseOptions(['--workloads', text], { workloads: selected('workload', items, '') }).workloads.map(
      ({ name }) => name,
    );
  assert.deepEqual(select('@language'), ['python', 'gcc']);
  assert.deepEqual(select('@default'), ['python']);
  assert.deepEqual(select('@all'), ['python', 'gcc', 'php-apache']);
  assert.deepEqual(select('p*'), ['python', 'php-apache']);
  assert.deepEqual(select('g?c,@web-server,gcc'), ['gcc', 'php-apache']);
  for (const text of ['@database', 'z*', 'Python', 'gcc,@', 'p']) {
    assert.throws(() => select(text), {
      code: 'usage',
      message: /^unknown workload '.*'; workloads: python, gcc, php-apache, @default, @language, @web-server, @all$/,
    });
  }
});

test('usage lists every option with its default', () => {
  assert.equal(
    usageOf('bench:some', 'Measures something', { samples: samples(5), stateDir, dryRun: flag('the plan only') }),
    [
      'Measures something',
      'npm run bench:some -- [options]',
      '  --samples N      of each (default 5)',
      '  --state-dir DIR  images, registry, scratch; kept for the next run (default /var/lib/stargz-bench)',
      '  --dry-run        the plan only',
    ].join('\n'),
  );
});
