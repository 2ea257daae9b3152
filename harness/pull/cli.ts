/**
 * The pull phase of the lazy modes against its limit of 12 round trips and 10 ms a layer, as `npm run bench:pull`:
 *
 *     npm run bench:pull -- [--layers 2,10,40] [--workloads python] [--modes stargz,estargz] [--samples 5] [--rtt 30]
 *                           [--bandwidth 200] [--state-dir DIR] [--out FILE.csv]
 *
 * `--workloads` adds the images of these workloads from the state directory; they are built if they are not there.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { stringify } from 'csv-stringify/sync';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { workloads } from '../../workloads/catalogue.ts';
import { cellRoom } from '../cell-room.ts';
import { messageOf } from '../error.ts';
import { benchPackages, ensurePackages } from '../host/install.ts';
import { ensureImages } from '../images/ensure.ts';
import { modes } from '../modes/catalogue.ts';
import { selectNamed } from '../options.ts';
import { recordAccesses } from '../record.ts';
import { startLink } from '../registry/link.ts';
import { startRegistry } from '../registry/registry.ts';
import { median, sortSamples } from '../stats/median.ts';
import { pushLayeredImage } from './images.ts';
import { measurePull, type PullSample } from './measure.ts';

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '2,10,40' },
    workloads: { type: 'string', default: '' },
    modes: { type: 'string', default: 'stargz,estargz' },
    samples: { type: 'string', default: '5' },
    rtt: { type: 'string', default: '30' },
    bandwidth: { type: 'string', default: '200' },
    'state-dir': { type: 'string', default: '/var/lib/stargz-bench' },
    out: { type: 'string' },
  },
});

const roundTrips = 12;
const msPerLayer = 10;

interface Row extends PullSample {
  readonly image: string;
  readonly mode: string;
  readonly sample: number;
  readonly rttMs: number;
  readonly limitMs: number;
}

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort(new Error(name)));
try {
  const rows = await measureAll(interrupted.signal);
  if (values.out !== undefined) await writeRows(values.out, rows);
  process.exitCode = report(rows) ? 0 : 1;
} catch (error) {
  process.stderr.write(`bench:pull: ${messageOf(error)}\n`);
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
}

async function measureAll(signal: AbortSignal): Promise<Row[]> {
  const stateDir = values['state-dir'];
  await ensurePackages(benchPackages, { step: () => {}, warn: say }, signal);
  await mkdir(stateDir, { recursive: true });
  await using stack = new AsyncDisposableStack();
  const scratch = await mkdtemp(join(stateDir, 'pull-'));
  stack.defer(() => rm(scratch, { recursive: true, force: true }));
  const client = new RegistryClient();
  stack.defer(() => client.close());
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  stack.defer(() => registry.close());

  const repositories: { name: string; tagOf: (variant: string) => string }[] = [];
  for (const count of list(values.layers).map(Number)) {
    const repository = await pushLayeredImage(count, { registry: registry.address, client, scratch }, signal);
    repositories.push({ name: repository, tagOf: (variant) => `${repository}:${variant}` });
  }
  const chosen = selectNamed('workload', workloads, list(values.workloads));
  const request = {
    stateDir,
    registry: registry.address,
    client,
    variants: ['stargz', 'estargz'] as const,
    record: (workload: (typeof workloads)[number], image: string, path: string, recordSignal: AbortSignal) =>
      recordAccesses({ stateDir, registryAddress: registry.address, workload, image, path }, recordSignal),
    onStep: say,
  };
  // Even none would have the base built.
  const sets = chosen.length === 0 ? [] : await ensureImages(chosen, request, signal);
  for (const [name, set] of sets) {
    repositories.push({ name, tagOf: (variant) => set[variant as keyof typeof set]! });
  }

  const rttMs = Number(values.rtt);
  const bandwidthMbps = Number(values.bandwidth);
  const link = await startLink({ target: registry.address, rttMs, bandwidthMbps });
  stack.defer(() => link.close());
  const rows: Row[] = [];
  // Interleaved, so that a slow minute of the machine falls on all alike. Sample 0 only warms up and is not kept.
  for (let sample = 0; sample <= Number(values.samples); sample++) {
    for (const { name, tagOf } of sample === 0 ? repositories.slice(0, 1) : repositories) {
      for (const mode of selectNamed('mode', modes, list(values.modes))) {
        const measured = await measurePull(cellRoom(stateDir), link, tagOf(mode.variant), mode, signal);
        const limitMs = roundTrips * rttMs + msPerLayer * measured.layers;
        if (sample > 0) rows.push({ image: name, mode: mode.name, sample, rttMs, limitMs, ...measured });
      }
    }
  }
  return rows;
}

/** One line an image and mode; false if a median is over its limit. */
function report(rows: readonly Row[]): boolean {
  let within = true;
  for (const group of Map.groupBy(rows, (row) => `${row.image} ${row.mode}`).values()) {
    const { image, mode, layers, limitMs } = group[0]!;
    const medianMs = median(sortSamples(group.map((row) => row.pullMs))!);
    const rssMib = Math.max(...group.map((row) => row.daemonRssPeakKib ?? 0)) / 1024;
    if (medianMs > limitMs) within = false;
    say(
      `${image} ${mode}: ${layers} layers, pull ${medianMs.toFixed(0)} ms (limit ${limitMs} ms, ` +
        `${medianMs <= limitMs ? 'met' : 'MISSED'}), ${group[0]!.wireRequests} requests, ` +
        `daemon ${rssMib.toFixed(0)} MiB at most`,
    );
  }
  return within;
}

async function writeRows(path: string, rows: readonly Row[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const cells = rows.map((row) => ({
    image: row.image,
    mode: row.mode,
    layers: row.layers,
    sample: row.sample,
    rtt_ms: row.rttMs,
    limit_ms: row.limitMs,
    pull_ms: row.pullMs.toFixed(3),
    wire_requests: row.wireRequests,
    wire_bytes: row.wireBytes,
    daemon_cpu_ms: row.daemonCpuMs,
    daemon_rss_peak_kib: row.daemonRssPeakKib,
  }));
  await writeFile(path, stringify(cells, { header: true }));
}

function list(text: string): string[] {
  return text === '' ? [] : text.split(',');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
