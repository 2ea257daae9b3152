/**
 * What mounting one layer of many entries takes, from the TOC's bytes to the mounted directory, as `npm run bench:toc`:
 *
 *     npm run bench:toc -- [--entries 100000] [--faces erofs,fuse] [--samples 5] [--state-dir DIR] [--out FILE.csv]
 *
 * Each sample is a process of its own, with the daemon's V8 options. Limits: 1 s, and 60 MB more at its peak.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { stringify } from 'csv-stringify/sync';
import { messageOf } from '../error.ts';
import { median, sortSamples } from '../stats/median.ts';
import { faces, type LargeMount, makeToc, mountLarge } from './measure.ts';

const { values } = parseArgs({
  options: {
    entries: { type: 'string', default: '100000' },
    faces: { type: 'string', default: faces.join(',') },
    samples: { type: 'string', default: '5' },
    'state-dir': { type: 'string', default: '/var/lib/stargz-bench' },
    out: { type: 'string' },
  },
});

const limitMs = 1000;
const limitBytes = 60e6;

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort(new Error(name)));
try {
  process.exitCode = (await measureAll(interrupted.signal)) ? 0 : 1;
} catch (error) {
  process.stderr.write(`bench:toc: ${messageOf(error)}\n`);
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
}

async function measureAll(signal: AbortSignal): Promise<boolean> {
  await mkdir(values['state-dir'], { recursive: true });
  const scratch = await mkdtemp(join(values['state-dir'], 'toc-'));
  const rows: (LargeMount & { readonly sample: number })[] = [];
  try {
    const toc = join(scratch, 'toc');
    await makeToc(Number(values.entries), toc, signal);
    for (let sample = 1; sample <= Number(values.samples); sample++) {
      for (const face of values.faces.split(',')) {
        rows.push({ ...(await mountLarge(face, toc, scratch, signal)), sample });
      }
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  if (values.out !== undefined) {
    await mkdir(dirname(values.out), { recursive: true });
    await writeFile(values.out, stringify(rows.map(toCells), { header: true }));
  }
  return report(rows);
}

function report(rows: readonly LargeMount[]): boolean {
  let within = true;
  for (const [face, group] of Map.groupBy(rows, (row) => row.face)) {
    const mountMs = median(sortSamples(group.map((row) => row.mountMs))!);
    const growthBytes = Math.max(...group.map((row) => row.peakGrowthBytes));
    const met = mountMs <= limitMs && growthBytes <= limitBytes;
    within &&= met;
    process.stdout.write(
      `${face}: ${group[0]!.entries} entries, mounted in ${mountMs.toFixed(0)} ms (limit ${limitMs} ms), ` +
        `peak RSS grew by ${(growthBytes / 1e6).toFixed(1)} MB at most (limit ${limitBytes / 1e6} MB): ` +
        `${met ? 'met' : 'MISSED'}\n`,
    );
  }
  return within;
}

function toCells(row: LargeMount & { readonly sample: number }) {
  return {
    face: row.face,
    sample: row.sample,
    entries: row.entries,
    toc_bytes: row.tocBytes,
    mount_ms: row.mountMs.toFixed(1),
    cpu_ms: row.cpuMs.toFixed(1),
    peak_growth_bytes: row.peakGrowthBytes,
  };
}
