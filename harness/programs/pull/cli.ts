import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { workloads } from '../../../workloads/catalogue.ts';
import { defaultStateDir, parseFlags, parseNames, selectNamed } from '../../cli/arguments.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import { writeRecords } from '../../run/csv.ts';
import { modes } from '../../cell/modes/catalogue.ts';
import { parsePath } from '../../bench/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parseBandwidth, parseCount, parseDuration } from '../../cli/quantity.ts';
import { startLink } from '../../link/link.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { ensureWorkloadImages, imagesBytes, openTestbed } from '../../assembly/testbed.ts';
import { pushLayeredImage } from './images.ts';
import { measurePull, type PullSample } from './measure.ts';

const usage = `The pull phase of the lazy modes against its limit of 12 round trips and 10 ms a layer:
npm run bench:pull -- [options]
  --layers 2,10,40      images of so many small layers (default 2,10,40)
  --workloads a,b       the images of these as well    (default: none)
  --modes a,b           stargz, estargz                (default: both)
  --samples N           of each                        (default 5)
  --rtt TIME            of the link                    (default 30ms)
  --bandwidth RATE      of the link                    (default 200mbit)
  --out FILE.csv        one row a pull
  --state-dir DIR       images and registry            (default ${defaultStateDir})`;

const roundTrips = 12;
const msPerLayer = 10;

interface Row extends PullSample {
  readonly image: string;
  readonly mode: string;
  readonly sample: number;
  readonly rttMs: number;
  readonly limitMs: number;
}

await runProgram({ name: 'bench:pull', usage, run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = readOptions(argv);
  const rows = await measureAll(options, signal);
  if (options.out !== undefined) await writeRecords(options.out, rows.map(toRecord));
  return report(rows);
}

function readOptions(argv: readonly string[]) {
  const values = parseFlags(argv, {
    layers: { type: 'string', default: '2,10,40' },
    workloads: { type: 'string' },
    modes: { type: 'string' },
    samples: { type: 'string', default: '5' },
    rtt: { type: 'string', default: '30ms' },
    bandwidth: { type: 'string', default: '200mbit' },
    'state-dir': { type: 'string', default: defaultStateDir },
    out: { type: 'string' },
  });
  const lazyModes = modes.filter((mode) => mode.snapshotter === 'stargz');
  return {
    layerCounts: parseNames('--layers', values.layers).map((text) => parseCount('--layers', text, 1, 120)),
    workloads: selectNamed('workload', workloads, parseNames('--workloads', values.workloads) ?? []),
    modes: selectNamed('mode', lazyModes, parseNames('--modes', values.modes)),
    samples: parseCount('--samples', values.samples, 1, 1000),
    link: { rttMs: parseDuration('--rtt', values.rtt), bandwidthMbps: parseBandwidth('--bandwidth', values.bandwidth) },
    stateDir: parsePath('--state-dir', values['state-dir']),
    out: values.out,
  };
}

type Options = ReturnType<typeof readOptions>;

interface PulledRepository {
  readonly name: string;
  tagOf(variant: string): string;
}

async function measureAll(options: Options, signal: AbortSignal): Promise<Row[]> {
  const { stateDir } = options;
  const { rttMs } = options.link;
  await using stack = new AsyncDisposableStack();
  const { registryAddress } = stack.use(await openTestbed({ stateDir, freeBytes: imagesBytes }, signal));
  const repositories = [
    ...(await pushLayered(options, registryAddress, signal)),
    ...(await ensureWorkloads(options, registryAddress, signal)),
  ];
  const link = await startLink({ target: registryAddress, ...options.link });
  stack.defer(() => link.close());
  const rows: Row[] = [];
  // Interleaved, so that a slow minute of the machine falls on all alike. Sample 0 only warms up and is not kept.
  for (let sample = 0; sample <= options.samples; sample++) {
    for (const { name, tagOf } of sample === 0 ? repositories.slice(0, 1) : repositories) {
      for (const mode of options.modes) {
        const measured = await measurePull(openSandbox(stateDir), link, tagOf(mode.variant), mode, signal);
        const limitMs = roundTrips * rttMs + msPerLayer * measured.layers;
        if (sample > 0) rows.push({ image: name, mode: mode.name, sample, rttMs, limitMs, ...measured });
      }
    }
  }
  return rows;
}

async function pushLayered(
  { layerCounts, stateDir }: Options,
  registryAddress: string,
  signal: AbortSignal,
): Promise<PulledRepository[]> {
  const scratch = await mkdtemp(join(stateDir, 'pull-'));
  const client = new RegistryClient();
  try {
    const pushed: PulledRepository[] = [];
    for (const count of layerCounts) {
      const name = await pushLayeredImage(count, { registry: registryAddress, client, scratch }, signal);
      pushed.push({ name, tagOf: (variant) => `${name}:${variant}` });
    }
    return pushed;
  } finally {
    await client.close();
    await rm(scratch, { recursive: true, force: true });
  }
}

async function ensureWorkloads(
  options: Options,
  registryAddress: string,
  signal: AbortSignal,
): Promise<PulledRepository[]> {
  const { stateDir } = options;
  // Even none would have the base built.
  if (options.workloads.length === 0) return [];
  const variants = options.modes.map(({ variant }) => variant);
  const request = { stateDir, registryAddress, variants, onStep: say };
  const sets = await ensureWorkloadImages(options.workloads, request, signal);
  return [...sets].map(([name, set]) => ({ name, tagOf: (variant) => set[variant as keyof typeof set]! }));
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

function toRecord(row: Row) {
  return {
    image: row.image,
    mode: row.mode,
    layers: row.layers,
    sample: row.sample,
    rtt_ms: row.rttMs,
    limit_ms: row.limitMs,
    pull_ms: row.pullMs,
    wire_requests: row.wireRequests,
    wire_bytes: row.wireBytes,
    daemon_cpu_ms: row.daemonCpuMs,
    daemon_rss_peak_kib: row.daemonRssPeakKib,
  };
}
