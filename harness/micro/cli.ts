import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stringifyRecords } from '../csv.ts';
import { watchInterrupts } from '../interrupt.ts';
import { parseCount, UsageError } from '../quantity.ts';
import { discoverBenches } from './discover.ts';
import { type MicroResult, measureFile } from './measure.ts';
import { renderMicroTable } from './table.ts';

const usage = `Times the snapshotter's inner loops: npm run bench:micro -- [options]
  --filter TEXT   only tasks whose name contains TEXT
  --time MS       for each task                        (default 1000)
  --out DIR       micro-<time>.csv goes there          (default results)
  --list          the tasks' files, without running them`;

const root = fileURLToPath(new URL('../..', import.meta.url));
const interrupts = watchInterrupts();

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`stargz-bench micro: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = interrupts.signal.aborted ? 130 : error instanceof UsageError ? 2 : 1;
} finally {
  interrupts.stop();
}

async function main(): Promise<number> {
  const values = readOptions();
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const timeMs = parseCount('--time', values.time, 1, 600_000);
  const files = await discoverBenches(root);
  if (values.list) {
    for (const file of files) console.log(file.path);
    return 0;
  }
  const results: MicroResult[] = [];
  for (const file of files) {
    if (interrupts.signal.aborted) break;
    const own = await measureFile(file, { timeMs, filter: values.filter }, interrupts.signal);
    results.push(...own);
    process.stdout.write(renderMicroTable(file.path, own));
  }
  if (results.length === 0) throw new UsageError('no task matches; --list shows the files');
  await mkdir(values.out, { recursive: true });
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const path = join(values.out, `micro-${stamp}.csv`);
  await writeFile(path, stringifyRecords(results.map(toRecord)));
  console.log(`results  ${path}`);
  if (interrupts.signal.aborted) return 130;
  return results.some((result) => result.error !== undefined) ? 1 : 0;
}

function toRecord(result: MicroResult) {
  return {
    file: result.file,
    task: result.task,
    samples: result.sampleCount,
    median_us: result.medianUs,
    p99_us: result.p99Us,
    mean_margin_percent: result.marginPercent,
    per_second: result.perSecond,
    error: result.error,
  };
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        filter: { type: 'string' },
        time: { type: 'string', default: '1000' },
        out: { type: 'string', default: 'results' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}; --help shows the options`);
  }
}
