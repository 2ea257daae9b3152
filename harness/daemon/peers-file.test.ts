import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { variantNames } from '../images/variants.ts';
import { fillPlaceholders } from './peer.ts';
import { parsePeers, readPeers } from './peers-file.ts';

const limit = { timeout: 30_000 };
const ownPath = fileURLToPath(new URL('../../modes/peers.toml', import.meta.url));
const parse = (text: string) => parsePeers(text, '/etc/peers.toml', variantNames);
const good = 'command = ["daemon", "{socket}"]\nvariants = ["estargz"]';

test('a peer needs a command and variants; the rest has defaults', limit, () => {
  assert.deepEqual(parse(`[peer.mine]\n${good}`), [
    {
      name: 'mine',
      title: 'mine',
      program: 'daemon',
      command: ['{program}', '{socket}'],
      env: {},
      config: {},
      variantConfig: {},
      files: {},
      variants: ['estargz'],
      packages: {},
      prepare: [],
      lazy: true,
      eagerLayers: 0,
      startLimitMs: 30_000,
    },
  ]);
  assert.deepEqual(parse(''), []);
});

test('a named program leaves the command as it is', limit, () => {
  const [peer] = parse(
    `[peer.mine]\nprogram = "/opt/daemon"\ncommand = ["sh", "-c", "exec {program}"]\nvariants = ["legacy"]\n` +
      'config = { address = "{socket}" }\nstart_limit_s = 5',
  );
  assert.deepEqual([peer!.program, peer!.command], ['/opt/daemon', ['sh', '-c', 'exec {program}']]);
  assert.equal(peer!.startLimitMs, 5000);
});

const bad: [string, string, RegExp][] = [
  ['broken TOML', '[peer.mine\n', /^\/etc\/peers\.toml:\d+: /],
  ['another table', '[pear.mine]\n', /unknown key 'pear'; keys: peer$/],
  ['an unknown key', `[peer.mine]\n${good}\ncmd = 1`, /peer\.mine: unknown key 'cmd'; keys: title, .*command/],
  ['a name with a colon', `[peer."a:b"]\n${good}`, /a name is lower-case letters, digits and hyphens/],
  ['no command', '[peer.mine]\nvariants = ["estargz"]', /peer\.mine\.command needs a list of strings/],
  ['an empty command', '[peer.mine]\ncommand = []\nvariants = ["estargz"]', /command needs a list of strings/],
  [
    'no socket',
    '[peer.mine]\ncommand = ["daemon"]\nvariants = ["estargz"]',
    /nothing says where to serve; .* \{socket\}$/,
  ],
  ['no variants', '[peer.mine]\ncommand = ["daemon", "{socket}"]', /variants needs a list of strings/],
  [
    'an unknown variant',
    '[peer.mine]\ncommand = ["daemon", "{socket}"]\nvariants = ["squashfs"]',
    /unknown variant 'squashfs'; variants: legacy, stargz, estargz-noopt, estargz, zstdchunked$/,
  ],
  [
    'an unknown placeholder',
    '[peer.mine]\ncommand = ["daemon", "{sock}", "{socket}"]\nvariants = ["estargz"]',
    /unknown placeholder \{sock\}; placeholders: \{program\}, \{socket\}, \{root\}, \{config\}, \{directory\}$/,
  ],
  [
    'a placeholder of another place',
    `[peer.mine]\n${good}\nprepare = [["x", "{socket}"]]`,
    /prepare\[0\]: unknown placeholder \{socket\}/,
  ],
  ['a flat prepare', `[peer.mine]\n${good}\nprepare = ["x"]`, /prepare\[0\] needs a list of strings/],
  [
    'a placeholder in config',
    `[peer.mine]\n${good}\nconfig = { a = { b = ["{x}"] } }`,
    /config: unknown placeholder \{x\}/,
  ],
  ['a wrong type', `[peer.mine]\n${good}\nlazy = "no"`, /lazy needs true or false/],
  ['a negative count', `[peer.mine]\n${good}\neager_layers = -1`, /eager_layers needs a whole number/],
  ['a wrong environment', `[peer.mine]\n${good}\nenv = { A = 1 }`, /env\.A needs a string/],
];
for (const [what, text, message] of bad) {
  test(`a peers file with ${what} is refused with one line that names it`, limit, () => {
    assert.throws(
      () => parse(text),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'usage');
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });
}

test('a file that is not there is named', limit, async () => {
  await assert.rejects(readPeers('/nowhere.toml', variantNames), {
    code: 'usage',
    message: 'cannot read the peers file /nowhere.toml (ENOENT)',
  });
});

test(
  "the project's own file has the peers that its documents promise, each prepared or pulled as it is",
  limit,
  async () => {
    const peers = await readPeers(ownPath, variantNames);
    assert.deepEqual(
      peers.map(({ name }) => name),
      ['go-stargz', 'soci', 'soci-parallel', 'nydus', 'overlaybd'],
    );
    for (const { name, prepare } of peers) {
      const pullsOurs = name === 'go-stargz' || name === 'soci-parallel';
      assert.equal(
        prepare.some((step) => step.some((word) => word.includes('{target}'))),
        !pullsOurs,
        name,
      );
    }
  },
);

test('placeholders are filled in every string, however deep', limit, () => {
  const values = { socket: '/s', root: '/r' };
  assert.deepEqual(fillPlaceholders({ a: ['x{socket}', 1, { b: '{root}{root}' }], c: true }, values), {
    a: ['x/s', 1, { b: '/r/r' }],
    c: true,
  });
});
