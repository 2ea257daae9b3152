import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { layerFormats } from '../../../snapshotter/convert/format.ts';
import { suiteLifetime, undoAfter } from '../../../testkit/lifetime.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { conversions, describeVerdict, judgeStack } from './judge.ts';
import { faces, openRig, type Rig } from './rig.ts';
import { stackOf } from './shrink.ts';
import { formatStack, parseStack, type Stack } from './stack.ts';

const timeout = 300_000;
const cases = 60;
const jobs = 2;
/** A fixed default, so that a run fails for what was changed; another seed looks for more. */
const seed = Number(process.env.SEED ?? 1);
const suite = suiteLifetime();
const scratch = openScratch(suite, 'differential');
const signal = AbortSignal.timeout(timeout);
let rig: Rig;

before(
  async () => {
    const compileCache = join(scratch, 'compile-cache');
    rig = await openRig({ directory: join(scratch, 'rig'), faces, compileCache }, signal);
    undoAfter(suite, () => rig[Symbol.asyncDispose]());
  },
  { timeout },
);

test(`${cases} drawn stacks of layers are mounted as containerd unpacks them`, { timeout }, async (t) => {
  t.diagnostic(`SEED=${seed} repeats this run`);
  let next = 0;
  let entries = 0;
  const work = async (): Promise<void> => {
    while (next < cases) {
      const id = { seed, index: next++ };
      // ctr-remote takes three processes a stack.
      const by = id.index % 4 === 0 ? conversions : layerFormats;
      const verdict = await judgeStack(rig, stackOf(id), by, signal);
      entries += verdict.entries;
      const replay = `npm run differential -- --replay ${id.seed}:${id.index}`;
      assert.deepEqual(describeVerdict(verdict), [], `${replay} shows it and makes the stack smaller`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  assert.ok(entries > cases, `only ${entries} entries were compared`);
});

const stacks = join(import.meta.dirname, 'stacks');
for (const name of readdirSync(stacks).sort()) {
  test(`stacks/${name} is mounted as containerd unpacks it`, { timeout }, async () => {
    const verdict = await judgeStack(rig, parseStack(readFileSync(join(stacks, name), 'utf8')), conversions, signal);
    assert.deepEqual(describeVerdict(verdict), []);
  });
}

test('a stack that is served differently is reported with the entry and both views of it', { timeout }, async () => {
  // Nothing that is right differs, so the two sides are given different stacks.
  const file: Stack = { layers: [{ compression: 'gzip', entries: [{ type: 'file', name: 'a', mode: 0o600 }] }] };
  const other: Stack = { layers: [{ compression: 'gzip', entries: [{ type: 'file', name: 'a', mode: 0o644 }] }] };
  const verdict = await judgeStack(rig, file, ['estargz'], signal, other);
  assert.deepEqual(describeVerdict(verdict), [
    'estargz unpacked: mode: "/a" mode: "100600" | "100644"',
    ...faces.map((face) => `estargz on ${face}: mode: "/a" mode: "100600" | "100644"`),
  ]);
});

test('a stack survives being written to a file', { timeout }, () => {
  for (let index = 0; index < 50; index++) {
    const stack = stackOf({ seed: 7, index });
    assert.deepEqual(parseStack(formatStack(stack)), stack);
  }
});
