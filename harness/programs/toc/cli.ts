import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultStateDir, parseFlags } from '../../cli/arguments.ts';
import { writeRecords } from '../../run/csv.ts';
import { preflight } from '../../host/preflight.ts';
import { parseMounts, parsePath } from '../../bench/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parseCount } from '../../cli/quantity.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { type LargeMount, makeToc, mountLarge } from './measure.ts';

const usage = `What mounting one layer of many entries takes, from the TOC's bytes to the mounted directory; each sample is a process
of its own, with the daemon's V8 options: npm run bench:toc -- [options]
  --entries N           in the TOC                     (default 100000)
  --mount fuse,erofs    how it is mounted              (default: both)
  --samples N           of each                        (default 5)
  --out FILE.csv        one row a mount
  --state-dir DIR       scratch space                  (default ${defaultStateDir})`;

const limitMs = 1000;
const limitBytes = 60e6;
const freeBytes = 2 ** 30;

await runProgram({ name: 'bench:toc', usage, run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const values = parseFlags(argv, {
    entries: { type: 'string', default: '100000' },
    mount: { type: 'string', default: 'fuse,erofs' },
    samples: { type: 'string', default: '5' },
    'state-dir': { type: 'string', default: defaultStateDir },
    out: { type: 'string' },
  });
  const entries = parseCount('--entries', values.entries, 1, 4_000_000);
  const samples = parseCount('--samples', values.samples, 1, 1000);
  const backends = parseMounts(values.mount)!;
  const stateDir = parsePath('--state-dir', values['state-dir']);
  await preflight({ stateDir, freeBytes });
  const scratch = await mkdtemp(join(stateDir, 'toc-'));
  const rows: (LargeMount & { readonly sample: number })[] = [];
  try {
    const toc = join(scratch, 'toc');
    await makeToc(entries, toc, signal);
    for (let sample = 1; sample <= samples; sample++) {
      for (const backend of backends) rows.push({ ...(await mountLarge(backend, toc, scratch, signal)), sample });
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  if (values.out !== undefined) await writeRecords(values.out, rows.map(toRecord));
  return report(rows);
}

function report(rows: readonly LargeMount[]): boolean {
  let within = true;
  for (const [face, group] of Map.groupBy(rows, (row) => row.face)) {
    const mountMs = median(sortSamples(group.map((row) => row.mountMs))!);
    const growthBytes = Math.max(...group.map((row) => row.peakGrowthBytes));
    const met = mountMs <= limitMs && growthBytes <= limitBytes;
    within &&= met;
    say(
      `${face}: ${group[0]!.entries} entries, mounted in ${mountMs.toFixed(0)} ms (limit ${limitMs} ms), ` +
        `peak RSS grew by ${(growthBytes / 1e6).toFixed(1)} MB at most (limit ${limitBytes / 1e6} MB): ` +
        `${met ? 'met' : 'MISSED'}`,
    );
  }
  return within;
}

function toRecord(row: LargeMount & { readonly sample: number }) {
  return {
    face: row.face,
    sample: row.sample,
    entries: row.entries,
    toc_bytes: row.tocBytes,
    mount_ms: row.mountMs,
    cpu_ms: row.cpuMs,
    peak_growth_bytes: row.peakGrowthBytes,
  };
}
