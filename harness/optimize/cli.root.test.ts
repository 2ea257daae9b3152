import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAccesses } from '../../snapshotter/convert/accesses.ts';
import { runProgram } from '../../snapshotter/convert/testing/command.ts';
import { HOT_RANGES_LABEL } from '../../snapshotter/estargz/names.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { parseManifest } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { pushPlain, tinyImage, writeInto } from '../../testkit/images.ts';
import { startRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';

const limit = { timeout: 120_000 };
const cli = fileURLToPath(new URL('cli.ts', import.meta.url));

test(
  'an image is run, recorded and converted with one command, which leaves only the image and the record',
  limit,
  async (t) => {
    const registry = await startRegistry(t);
    const scratch = openScratch(t, 'optimize');
    const [source, target] = ['src', 'out'].map((name) => `${registry.host}/optimize/${name}:1`) as [string, string];
    await pushPlain({ ...tinyImage, layers: [...tinyImage.layers, writeInto('unread', 'x')], reference: source });
    const record = join(scratch, 'record.jsonl');
    const convert = (...argv: string[]) => runProgram(cli, argv, { env: { TMPDIR: scratch } });
    const done = await convert(
      source,
      target,
      '--optimize',
      '--record-out',
      record,
      '--ready-line',
      '^hello red there$',
      '--env',
      'WORD=there',
      '--',
      'echo $(cat /greeting) $COLOUR $WORD; exec sleep 60',
    );
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stderr, /^convert: it read \d+\.\d MB of \d+ files until it was ready$/m);
    const client = new RegistryClient();
    t.after(() => client.close());
    const layersOf = async (reference: string) => {
      const { bytes, mediaType } = await client.fetchManifest(parseReference(reference), t.signal);
      const parsed = parseManifest(bytes, mediaType);
      assert.ok(parsed.kind === 'manifest');
      return parsed.manifest.layers;
    };
    const lists = (await layersOf(target)).map(({ annotations }) => annotations?.[HOT_RANGES_LABEL] !== undefined);
    assert.deepEqual(lists, [true, true, false]);
    const accesses = parseAccesses(readFileSync(record, 'utf8'), record);
    const digests = (await layersOf(source)).map(({ digest }) => digest);
    assert.ok(accesses.every(({ layer }) => digests.includes(layer)));
    assert.deepEqual(
      accesses.filter(({ layer }) => layer === digests[1]).map(({ path }) => path),
      ['greeting'],
    );
    assert.deepEqual(readdirSync(scratch), ['record.jsonl']);

    const again = await convert(source, `${target}-again`, '--record-in', record);
    assert.equal(again.status, 0, again.stderr);
    assert.equal(again.stdout.split('@')[1], done.stdout.split('@')[1], 'the record says all that the run said');

    const early = await convert(
      source,
      `${target}-early`,
      '--optimize',
      '--ready-port',
      '80',
      '--',
      'echo no >&2; exit 3',
    );
    assert.deepEqual([early.status, early.stdout], [1, '']);
    assert.match(
      early.stderr,
      /^convert: cannot record .*: src ended with status 3 before it was ready: no; .*--ready option$/m,
    );
    await assert.rejects(layersOf(`${target}-early`), { code: 'not-found' });
    const wrong = await convert(source, target, '--optimize', '--ready-port', 'x');
    assert.deepEqual([wrong.status, wrong.stdout], [2, '']);
    assert.match(wrong.stderr, /^convert: --ready-port needs a whole number [^\n]+\n$/);
    assert.deepEqual(readdirSync(scratch), ['record.jsonl']);
  },
);

test('an interrupt while the image runs stops it and leaves nothing', limit, async (t) => {
  const registry = await startRegistry(t);
  const scratch = openScratch(t, 'optimize');
  const source = `${registry.host}/optimize/src:1`;
  await pushPlain({ ...tinyImage, reference: source });
  const argv = [source, `oci:${scratch}/out`, '--optimize', '--ready-port', '80', '--', 'exec sleep 600'];
  const isRunning = () => {
    const state = readdirSync(scratch).find((name) => name.startsWith('stargz-optimize-'));
    return state !== undefined && existsSync(join(scratch, state, 'cell/containerd/containers'));
  };
  const running = until('the recording makes its container', isRunning, { limitMs: 50_000 });
  const outcome = await runProgram(cli, argv, { env: { TMPDIR: scratch }, interruptOn: running });
  assert.equal(outcome.status, 130, outcome.stderr);
  assert.match(outcome.stderr, /convert: interrupted; nothing was tagged\n$/);
  assert.deepEqual(readdirSync(scratch), []);
});
