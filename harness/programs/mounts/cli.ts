import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { drawMountsChart } from '../../../charts/mounts-chart.ts';
import { mountSummaryColumns, type MountTiming, mountTimingColumns } from '../../../measurements/mount-summary.ts';
import { seededRandom } from '../../../measurements/stats/random.ts';
import { openTestbedRun, type TestbedRun } from '../../assembly/testbed.ts';
import {
  mountNames,
  mounts,
  number,
  type Option,
  type OptionValues,
  out,
  parseOptions,
  samples,
  seed,
  selected,
  stateDir,
  usageOf,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { UsageError } from '../../cli/quantity.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSetting } from '../../run/daemon-setting.ts';
import { demandConfig, measureDemand } from './demand.ts';
import { measureOperation, type MountSample } from './measure.ts';
import { operations } from './operations.ts';
import { limitsOf, renderTable, summarize } from './summary.ts';
import { ensureTree } from './tree.ts';
import { openViews } from './views.ts';

const program = 'bench:mounts';
const about = `What a container pays for its layers being mounted lazily: overlayfs on unpacked files against overlayfs on FUSE and on
EROFS, all data present; and a whole layer filled on demand against pulling and unpacking it`;
const fuseOptions: Option<readonly object[]> = {
  argument: 'JSON',
  help: 'one more column: FUSE with these options (FuseOptions in snapshotter/fuse/server.ts)',
  shownDefault: undefined,
  isRepeatable: true,
  parse: (texts) => texts.map(parseFuseOptions),
};
const table = {
  mount: mounts(mountNames),
  operations: selected('operation', operations, 'what is done with the tree', { shownDefault: 'all' }),
  samples: samples(7, 'of each operation, warm'),
  coldSamples: number('with the page cache dropped', 3, 0, 1000),
  demandSamples: number('pulled, filled on demand', 2, 0, 1000),
  seed: seed(1, 'order within a round'),
  fuse: fuseOptions,
  out,
  stateDir,
};
type Options = OptionValues<typeof table>;

const freeBytes = 6 * 2 ** 30;

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, seed, out: outDir } = options;
  const daemon = daemonSetting(Object.fromEntries(options.mount.map((backend) => [backend, demandConfig(backend)])));
  await using testbed = await openTestbedRun({ program, argv, outDir, stateDir, seed, daemon, freeBytes }, signal);
  const { results } = testbed;
  const summary = summarize(await measureAll(options, testbed, signal));
  await results.writeTable('summary', mountSummaryColumns, summary);
  say(`\n${renderTable(summary, { headed: true })}`);
  const isMet = await conclude(results, limitsOf(summary));
  await drawMountsChart(results.path, results.environment);
  return isMet;
}

async function measureAll(
  options: Options,
  { registryAddress, results }: TestbedRun,
  signal: AbortSignal,
): Promise<readonly MountSample[]> {
  const directory = join(options.stateDir, 'mounts');
  await mkdir(directory, { recursive: true });
  const tree = await ensureTree(directory, say, signal);
  const file = await results.openTable<MountTiming>('samples', mountTimingColumns);
  const measured: MountSample[] = [];
  const keep = async (added: readonly MountSample[]) => {
    for (const sample of added) await file.append({ runId: results.runId, ...sample });
    measured.push(...added);
    if (added.length > 0) say(renderTable(summarize(added), { headed: false }));
  };
  const random = seededRandom(options.seed);
  if (options.samples + options.coldSamples > 0) {
    say('the layer store, filled');
    const open = await openViews(join(directory, 'views'), tree.path, viewsOf(options), signal);
    try {
      for (const operation of options.operations) {
        const warm = { rounds: options.samples, random };
        await keep(await measureOperation(operation, 'warm', open.views, warm, signal));
        const cold = { rounds: options.coldSamples, random };
        await keep(await measureOperation(operation, 'cold', open.views, cold, signal));
      }
    } finally {
      await open.close();
    }
  }
  if (options.demandSamples > 0) {
    const { stateDir, mount: backends, demandSamples: rounds } = options;
    const request = { stateDir, registryAddress, directory, tree, backends, rounds, random, say };
    await keep(await measureDemand(request, signal));
  }
  return measured;
}

function viewsOf({ mount: backends, fuse }: Options): Readonly<Record<string, object | 'erofs'>> {
  const named = backends.map((name) => [name, name === 'erofs' ? 'erofs' : {}]);
  return Object.fromEntries([...named, ...fuse.map((custom, index) => [`fuse-${index + 1}`, custom])]);
}

function parseFuseOptions(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch {
    throw new UsageError(`--fuse ${text}: not JSON; for example --fuse '{"workers":2}'`);
  }
}
