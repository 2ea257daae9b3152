import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { drawMountsChart } from '../../../charts/mounts-chart.ts';
import { defaultStateDir, parseFlags, parseNames, selectNamed } from '../../cli/arguments.ts';
import { stringifyRecords } from '../../run/csv.ts';
import { describeMachine } from '../../host/machine.ts';
import { parseMounts, parsePath } from '../../bench/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parseCount, UsageError } from '../../cli/quantity.ts';
import { createResultDir, writeResultFile } from '../../run/result-dir.ts';
import { seededRandom } from '../../../measurements/stats/random.ts';
import { openTestbed } from '../../assembly/testbed.ts';
import { measureDemand } from './demand.ts';
import { measureRow, type Sample } from './measure.ts';
import { rows } from './rows.ts';
import { renderTable, summarize } from './summary.ts';
import { ensureTree } from './tree.ts';
import { openViews } from './views.ts';

const usage = `What a container pays for its layers being mounted lazily: overlayfs on unpacked files against overlayfs on FUSE and on
EROFS, all data present; and a whole layer filled on demand against pulling and unpacking it:
npm run bench:mounts -- [options]
  --mount fuse,erofs    what is compared with overlayfs (default: both)
  --rows a,b            ${rows.map((row) => row.key).join(', ')} (default: all)
  --rounds N            warm                            (default 7)
  --cold-rounds N       with the page cache dropped     (default 3)
  --demand-rounds N     pulled, filled on demand        (default 2)
  --fuse JSON           one more column: FUSE with these options (FuseOptions in snapshotter/fuse/server.ts)
  --out DIR             <time>/mounts.csv and chart     (default results)
  --state-dir DIR       tree, images and registry       (default ${defaultStateDir})`;

const freeBytes = 6 * 2 ** 30;

await runProgram({ name: 'bench:mounts', usage, run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = readOptions(argv);
  const { stateDir, rounds, coldRounds, demandRounds } = options;
  await using testbed = await openTestbed({ stateDir, freeBytes }, signal);
  const directory = join(stateDir, 'mounts');
  await mkdir(directory, { recursive: true });
  const tree = await ensureTree(directory, say, signal);
  const startedAt = new Date();
  const samples: Sample[] = [];
  const note = (added: readonly Sample[]) => {
    samples.push(...added);
    if (added.length > 0) say(renderTable(summarize(added), { headed: false }));
  };
  const random = seededRandom(1);
  if (rounds + coldRounds > 0) {
    say('the layer store, filled');
    const open = await openViews(join(directory, 'views'), tree.path, options.mounts, signal);
    try {
      for (const row of options.rows)
        for (const [condition, count] of [
          ['warm', rounds],
          ['cold', coldRounds],
        ] as const)
          note(await measureRow(row, condition, open.views, { rounds: count, random }, signal));
    } finally {
      await open.close();
    }
  }
  if (demandRounds > 0) {
    const { registryAddress } = testbed;
    const { backends } = options;
    const request = { stateDir, registryAddress, directory, tree, backends, rounds: demandRounds, random, say };
    note(await measureDemand(request, signal));
  }
  const summary = summarize(samples);
  const { runId, path } = await createResultDir(options.out, 'bench:mounts', startedAt);
  const machine = await describeMachine(stateDir);
  const environment = { runId, commandLine: argv, startedAt: startedAt.toISOString(), machine };
  await writeResultFile(path, 'environment.json', `${JSON.stringify(environment, null, 2)}\n`);
  await writeResultFile(path, 'mounts.csv', stringifyRecords(samples.map((sample) => toRecord(runId, sample))));
  await writeResultFile(path, 'mounts-summary.csv', stringifyRecords(summary.map((line) => ({ ...line }))));
  const charts = await drawMountsChart(path);
  say(
    `\n${renderTable(summary, { headed: true })}\nresults  ${path}: mounts.csv, mounts-summary.csv, ${charts.join(', ')}`,
  );
  return summary.every((line) => line.met !== 'no');
}

function toRecord(runId: string, sample: Sample) {
  const { row, condition, backend, round, durationMs } = sample;
  return { run_id: runId, row, condition, backend, round, duration_ms: durationMs };
}

function readOptions(argv: readonly string[]) {
  const values = parseFlags(argv, {
    mount: { type: 'string', default: 'erofs,fuse' },
    rounds: { type: 'string', default: '7' },
    'cold-rounds': { type: 'string', default: '3' },
    'demand-rounds': { type: 'string', default: '2' },
    rows: { type: 'string' },
    fuse: { type: 'string', multiple: true, default: [] },
    out: { type: 'string', default: 'results' },
    'state-dir': { type: 'string', default: defaultStateDir },
  });
  const backends = parseMounts(values.mount)!;
  const mounts: Record<string, object | 'erofs'> = {};
  for (const name of backends) mounts[name] = name === 'erofs' ? 'erofs' : {};
  for (const [index, text] of values.fuse.entries()) mounts[`fuse-${index + 1}`] = parseFuseOptions(text);
  const named = rows.map((row) => ({ ...row, name: row.key }));
  return {
    backends,
    mounts,
    rows: selectNamed('row', named, parseNames('--rows', values.rows)),
    rounds: parseCount('--rounds', values.rounds, 0, 1000),
    coldRounds: parseCount('--cold-rounds', values['cold-rounds'], 0, 1000),
    demandRounds: parseCount('--demand-rounds', values['demand-rounds'], 0, 1000),
    out: parsePath('--out', values.out),
    stateDir: parsePath('--state-dir', values['state-dir']),
  };
}

function parseFuseOptions(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch {
    throw new UsageError(`--fuse ${text}: not JSON; for example --fuse '{"workers":2}'`);
  }
}
