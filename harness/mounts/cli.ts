/**
 * What a container pays for its layers being mounted lazily, as `npm run bench:mounts`: overlayfs on unpacked files against
 * overlayfs on FUSE and on EROFS, all data present; and a whole layer filled on demand against pulling and unpacking it.
 *
 *     npm run bench:mounts -- [--mount erofs,fuse] [--rounds N] [--cold-rounds N] [--demand-rounds N] [--rows a,b]
 *                             [--fuse OPTIONS-JSON ...] [--out DIR] [--state-dir DIR]
 *
 * Each --fuse adds a column: a FUSE mount with these options (FuseOptions), to compare with the default.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { drawMountsChart } from '../../charts/mounts-chart.ts';
import { stringifyRecords } from '../csv.ts';
import { messageOf } from '../error.ts';
import { benchPackages, ensurePackages } from '../host/install.ts';
import { describeMachine } from '../host/machine.ts';
import { preflight } from '../host/preflight.ts';
import { watchInterrupts } from '../interrupt.ts';
import { lockStateDir } from '../lock.ts';
import { selectNamed } from '../options.ts';
import { parseCount, UsageError } from '../quantity.ts';
import { createResultDir, writeResultFile } from '../result-dir.ts';
import { seededRandom } from '../stats/random.ts';
import { measureDemand } from './demand.ts';
import { measureRow, type Sample } from './measure.ts';
import { rows } from './rows.ts';
import { renderTable, summarize } from './summary.ts';
import { ensureTree } from './tree.ts';
import { openViews } from './views.ts';

const freeBytes = 6 * 2 ** 30;
const interrupts = watchInterrupts();
try {
  process.exitCode = await main(readOptions(), interrupts.signal);
} catch (error) {
  process.stderr.write(`stargz-bench mounts: ${messageOf(error)}\n`);
  process.exitCode = interrupts.signal.aborted ? 130 : error instanceof UsageError ? 2 : 1;
} finally {
  interrupts.stop();
}

async function main(options: Options, signal: AbortSignal): Promise<number> {
  const say = (text: string) => void process.stdout.write(`${text}\n`);
  const { stateDir, rounds, coldRounds, demandRounds } = options;
  await preflight({ stateDir, freeBytes });
  const lock = await lockStateDir(stateDir);
  try {
    await ensurePackages(benchPackages, { step: (_, detail) => say(detail), warn: say }, signal);
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
      const request = { stateDir, directory, tree, backends: options.backends, rounds: demandRounds, random, say };
      note(await measureDemand(request, signal));
    }
    const summary = summarize(samples);
    const { runId, path } = await createResultDir(options.out, startedAt);
    const machine = await describeMachine(stateDir);
    const environment = { runId, commandLine: process.argv.slice(2), startedAt: startedAt.toISOString(), machine };
    await writeResultFile(path, 'environment.json', `${JSON.stringify(environment, null, 2)}\n`);
    await writeResultFile(path, 'mounts.csv', stringifyRecords(samples.map((sample) => toRecord(runId, sample))));
    await writeResultFile(path, 'mounts-summary.csv', stringifyRecords(summary.map((line) => ({ ...line }))));
    const charts = await drawMountsChart(path);
    say(
      `\n${renderTable(summary, { headed: true })}\nresults  ${path}: mounts.csv, mounts-summary.csv, ${charts.join(', ')}`,
    );
    return 0;
  } finally {
    await lock.release();
  }
}

function toRecord(runId: string, sample: Sample) {
  const { row, condition, backend, round, durationMs } = sample;
  return { run_id: runId, row, condition, backend, round, duration_ms: durationMs };
}

type Options = ReturnType<typeof readOptions>;

function readOptions() {
  const values = parseOptions();
  const backends = values.mount.split(',');
  for (const name of backends)
    if (name !== 'erofs' && name !== 'fuse') throw new UsageError(`--mount ${name}: erofs or fuse, or both`);
  const mounts: Record<string, object | 'erofs'> = {};
  for (const name of backends) mounts[name] = name === 'erofs' ? 'erofs' : {};
  for (const [index, text] of values.fuse.entries()) mounts[`fuse-${index + 1}`] = parseFuseOptions(text);
  const named = rows.map((row) => ({ ...row, name: row.key }));
  return {
    backends,
    mounts,
    rows: values.rows === undefined ? rows : selectNamed('row', named, values.rows.split(',')),
    rounds: parseCount('--rounds', values.rounds, 0, 1000),
    coldRounds: parseCount('--cold-rounds', values['cold-rounds'], 0, 1000),
    demandRounds: parseCount('--demand-rounds', values['demand-rounds'], 0, 1000),
    out: values.out,
    stateDir: values['state-dir'],
  };
}

function parseFuseOptions(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch {
    throw new UsageError(`--fuse ${text}: not JSON; for example --fuse '{"workers":2}'`);
  }
}

function parseOptions() {
  try {
    return parseArgs({
      options: {
        mount: { type: 'string', default: 'erofs,fuse' },
        rounds: { type: 'string', default: '7' },
        'cold-rounds': { type: 'string', default: '3' },
        'demand-rounds': { type: 'string', default: '2' },
        rows: { type: 'string' },
        fuse: { type: 'string', multiple: true, default: [] },
        out: { type: 'string', default: 'results' },
        'state-dir': { type: 'string', default: '/var/lib/stargz-bench' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]!);
  }
}
