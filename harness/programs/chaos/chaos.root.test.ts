import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTable } from '../../../measurements/table.ts';
import { suiteLifetime } from '../../../testkit/lifetime.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { runChaos } from './chaos.ts';
import { faultColumns, lifeColumns } from './tally.ts';

const lifetime = suiteLifetime();

test('half a minute of chaos reads nothing wrong, and leaves nothing behind', { timeout: 300_000 }, async (t) => {
  const out = openScratch(lifetime, 'chaos-out');
  // Deals one of each kill to the first three faults of the two nodes.
  const options = { minutes: 0.5, seed: 63, nodes: 2, out, argv: [] };
  const isMet = await runChaos(options, AbortSignal.timeout(270_000));
  const { path, lives, faults } = await resultsBelow(out);
  t.diagnostic(`${path}: ${JSON.stringify(faults)}`);
  assert.ok(isMet, JSON.stringify(lives, null, 1));
  const counts = new Map(faults.map(({ fault, count }) => [fault, count]));
  for (const kind of ['daemonKills', 'keeperKills', 'containerdKills', 'containerKills', 'containerdContainerKills']) {
    assert.ok(counts.get(kind)! > 0, kind);
  }
  for (const face of ['fuse', 'erofs']) assert.ok(lives.some((life) => life.face === face && life.reads > 20));
});

async function resultsBelow(out: string) {
  const program = join(out, 'chaos');
  const path = join(program, (await readdir(program))[0]!);
  const { status } = JSON.parse(await readFile(join(path, 'environment.json'), 'utf8')) as { status: string };
  assert.equal(status, 'complete');
  const lives = await readTable(lifeColumns, { path: join(path, 'lives.csv'), required: ['face', 'reads'] });
  const faults = await readTable(faultColumns, { path: join(path, 'faults.csv'), required: ['fault', 'count'] });
  return { path, lives, faults };
}
