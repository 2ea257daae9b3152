import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeOutcome, quickCell } from './testing/fake-dependencies.ts';
import { isCell, start } from './testing/start-command.ts';

const limit = { timeout: 60_000 };

test('several round trips and bandwidths are a grid, each block of which has every link once', limit, async (t) => {
  const links: string[] = [];
  const argv = ['--samples', '2', '--workloads', 'gcc', '--rtt', '0,100ms', '--bandwidth', '20mbit,unlimited'];
  const run = await start(t, argv, async (cell) => {
    links.push(`${cell.link?.rttMs} ${cell.link?.bandwidthMbps}`);
    return fakeOutcome(cell.mode.name);
  });
  assert.equal(run.exitCode, 0, run.stderr);
  const rows = await run.samples();
  assert.equal(rows.length, 2 * 3 * 4);
  assert.deepEqual(
    rows.map((row) => `${row.rtt_ms} ${row.bandwidth_mbps || undefined}`),
    links,
  );
  for (const block of [rows.slice(0, 12), rows.slice(12)]) {
    assert.equal(new Set(block.map((row) => `${row.mode} ${row.rtt_ms} ${row.bandwidth_mbps}`)).size, 12);
    assert.ok(block.every((row) => row.sample === block[0]!.sample));
  }
  const { link, details } = JSON.parse(await run.read('environment.json'));
  assert.equal(link, null);
  assert.match(run.stderr, /gcc \w+ over 100 ms RTT, unlimited sample 2: /);
  assert.deepEqual(details.links[1], { rttMs: 0, bandwidthMbps: 'unlimited' });
  for (const heading of [
    '0 ms RTT, 20 Mbit/s',
    '0 ms RTT, unlimited',
    '100 ms RTT, 20 Mbit/s',
    '100 ms RTT, unlimited',
  ]) {
    assert.ok(run.stdout.includes(`\n${heading}\n\nworkload `), run.stdout);
  }
  for (const line of run.stdout.split('\n')) assert.ok(line.length <= 80 || line.includes('/'), line);
});

test('--slow-start and --loss are recorded in every row, the environment and the heading', limit, async (t) => {
  const run = await start(t, ['--samples', '1', '--workloads', 'gcc', '--loss', '0.1%'], quickCell);
  assert.ok((await run.samples()).every((row) => row.tcp === 'slow start, 0.1 % loss'));
  const { link, details } = JSON.parse(await run.read('environment.json'));
  assert.deepEqual(link, { rttMs: 30, bandwidthMbps: 200, tcp: { lossShare: 0.001 } });
  assert.deepEqual(details.links, [link]);
  assert.match(run.stdout, /from pull to ready, 30 ms RTT, 200 Mbit\/s, slow start, 0\.1 % loss, 1 sample each/);
  const slow = await start(t, ['--samples', '1', '--workloads', 'gcc', '--slow-start'], quickCell);
  assert.ok((await slow.samples()).every((row) => row.tcp === 'slow start'));
  const plain = await start(t, ['--samples', '1', '--workloads', 'gcc'], quickCell);
  assert.ok((await plain.samples()).every((row) => row.tcp === ''));
});

test('shards have whole blocks of one plan, and together all of them', limit, async (t) => {
  const argv = ['--samples', '5', '--seed', '3'];
  const whole = await start(t, argv, quickCell);
  const parts = [];
  for (const shard of ['1/2', '2/2']) parts.push(await start(t, [...argv, '--shard', shard], quickCell));
  const [first, second] = await Promise.all(parts.map((part) => part.samples()));
  assert.deepEqual([...new Set(first!.map((row) => row.sample))], ['1', '3', '5']);
  assert.deepEqual([...new Set(second!.map((row) => row.sample))], ['2', '4']);
  const cells = (rows: readonly Record<string, string>[]) =>
    rows.map((row) => `${row.order} ${row.workload} ${row.mode} ${row.sample}`);
  const together = [...cells(first!), ...cells(second!)].sort(
    (one, other) => Number.parseInt(one, 10) - Number.parseInt(other, 10),
  );
  assert.deepEqual(together, cells(await whole.samples()));
});

test('--until goes on until it is precise, and says why it ended', limit, async (t) => {
  const run = await start(t, ['--until', '5%', '--workloads', 'gcc', '--seed', '1'], quickCell);
  assert.equal(run.exitCode, 0, run.stderr);
  assert.equal(run.dependencies.calls.filter(isCell).length, 6 * 3);
  assert.match(run.stdout, /^ended +every speed-up is known to ± 5 %$/m);
  assert.match(run.stdout, /6 samples each/);
  assert.match(run.stdout, /3\.7× +faster/);
  assert.equal(JSON.parse(await run.read('environment.json')).details.stopped, 'every speed-up is known to ± 5 %');
  const limited = await start(t, ['--until', '5%', '--samples', '4', '--workloads', 'gcc'], quickCell);
  assert.match(limited.stdout, /^ended +not every speed-up is known to ± 5 %$/m);
  assert.equal(limited.dependencies.calls.filter(isCell).length, 4 * 3);
});

test('--base runs each mode of ours with the daemon of another commit, and compares the two', limit, async (t) => {
  const argv = ['--base', 'main', '--samples', '7', '--workloads', 'gcc', '--seed', '1'];
  const run = await start(t, argv, async (cell) => {
    const outcome = fakeOutcome(cell.mode.name.replace('base:', ''));
    assert.ok(outcome.ok);
    return { ...outcome, runMs: outcome.runMs * (cell.mode.base === undefined ? 1 : 0.7) };
  });
  assert.equal(run.exitCode, 0, run.stderr);
  const names = ['base:estargz', 'base:stargz', 'estargz', 'legacy', 'stargz'];
  assert.deepEqual([...new Set((await run.samples()).map(({ mode }) => mode))].sort(), names);
  const { details } = JSON.parse(await run.read('environment.json'));
  assert.deepEqual(details.modes[1].base, { ref: 'main', commit: '0123456789abcdef0123456789abcdef01234567' });
  assert.equal(details.modes[2].base, undefined);
  assert.match(
    run.stdout,
    /\nAgainst main\n\nworkload +mode +base s +head s .*\n─+\ngcc +stargz +1\.50 +2\.10 +\+40 % .* slower /,
  );
  const none = await start(t, ['--base', 'main', '--modes', 'legacy'], quickCell);
  assert.equal(none.exitCode, 2);
  assert.match(none.stderr, /--base needs a mode of ours/);
});
