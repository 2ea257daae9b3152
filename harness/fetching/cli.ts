/**
 * What adaptive fetching is worth, as `npm run bench:numpy`: a workload on an image that was not optimised for it, in
 * interleaved pairs with the same daemon fetching one chunk at a time. Limits: 0.5 of the time, 1.5 times the bytes read.
 *
 *     npm run bench:numpy -- [--workload numpy] [--pairs 10] [--rtt 30] [--bandwidth 200] [--state-dir DIR] [--out FILE.csv]
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { stringify } from 'csv-stringify/sync';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { workloads } from '../../workloads/catalogue.ts';
import { cellRoom } from '../cell-room.ts';
import { messageOf } from '../error.ts';
import { benchPackages, ensurePackages } from '../host/install.ts';
import { ensureImages } from '../images/ensure.ts';
import { selectNamed } from '../options.ts';
import { startLink } from '../registry/link.ts';
import { startRegistry } from '../registry/registry.ts';
import { median, sortSamples } from '../stats/median.ts';
import { measureRun, type RunSample } from './measure.ts';

const { values } = parseArgs({
  options: {
    workload: { type: 'string', default: 'numpy' },
    pairs: { type: 'string', default: '10' },
    rtt: { type: 'string', default: '30' },
    bandwidth: { type: 'string', default: '200' },
    'state-dir': { type: 'string', default: '/var/lib/stargz-bench' },
    out: { type: 'string' },
  },
});

const mostTimeRatio = 0.5;
const mostBytesRatio = 1.5;

interface Pair {
  readonly adaptive: RunSample;
  readonly single: RunSample;
}

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort(new Error(name)));
try {
  const { pairs, readBytes } = await measureAll(interrupted.signal);
  if (values.out !== undefined) await writePairs(values.out, pairs, readBytes);
  process.exitCode = report(pairs, readBytes) ? 0 : 1;
} catch (error) {
  process.stderr.write(`bench:numpy: ${messageOf(error)}\n`);
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
}

async function measureAll(signal: AbortSignal): Promise<{ pairs: Pair[]; readBytes: number }> {
  const stateDir = values['state-dir'];
  await ensurePackages(benchPackages, { step: () => {}, warn: say }, signal);
  const [workload] = selectNamed('workload', workloads, [values.workload]);
  await mkdir(stateDir, { recursive: true });
  await using stack = new AsyncDisposableStack();
  const client = new RegistryClient();
  stack.defer(() => client.close());
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  stack.defer(() => registry.close());
  const sets = await ensureImages(
    [workload!],
    {
      stateDir,
      registry: registry.address,
      client,
      variants: ['stargz'],
      // Only an optimised image takes a recording.
      record: async () => {},
      onStep: say,
    },
    signal,
  );
  const image = sets.get(workload!.image.name)!.stargz!;
  const link = await startLink({
    target: registry.address,
    rttMs: Number(values.rtt),
    bandwidthMbps: Number(values.bandwidth),
  });
  stack.defer(() => link.close());
  const common = { room: cellRoom(stateDir), link, workload: workload!, image };
  // Not timed: it also warms what the first pair would otherwise warm for the second.
  const { readBytes } = await measureRun({ ...common, adaptiveFetch: false, countReads: true }, signal);
  const pairs: Pair[] = [];
  for (let pair = 0; pair < Number(values.pairs); pair++) {
    const run = (adaptiveFetch: boolean) => measureRun({ ...common, adaptiveFetch }, signal);
    // The order alternates, so that a drift of the machine favours neither.
    const first = await run(pair % 2 === 0);
    const second = await run(pair % 2 === 1);
    pairs.push(pair % 2 === 0 ? { adaptive: first, single: second } : { adaptive: second, single: first });
    const { adaptive, single } = pairs.at(-1)!;
    say(`pair ${pair + 1}: ${adaptive.runMs.toFixed(0)} ms adaptive, ${single.runMs.toFixed(0)} ms one at a time`);
  }
  return { pairs, readBytes: readBytes! };
}

function report(pairs: readonly Pair[], readBytes: number): boolean {
  const timeRatio = medianOf(pairs.map(({ adaptive, single }) => adaptive.runMs / single.runMs));
  const bytesRatio = medianOf(pairs.map(({ adaptive }) => adaptive.wireBytes / readBytes));
  const verdict = (ratio: number, limit: number) =>
    `${ratio.toFixed(2)} (limit ${limit}, ${ratio <= limit ? 'met' : 'MISSED'})`;
  const runMs = (of: keyof Pair) => medianOf(pairs.map((pair) => pair[of].runMs)).toFixed(0);
  say(
    `run phase: ${runMs('adaptive')} ms adaptive, ${runMs('single')} ms one at a time; medians of ${pairs.length} pairs`,
  );
  say(`ratio of the run phases: ${verdict(timeRatio, mostTimeRatio)}`);
  say(
    `bytes over the wire to the ${(readBytes / 1e6).toFixed(1)} MB (compressed) that were read: ` +
      verdict(bytesRatio, mostBytesRatio),
  );
  return timeRatio <= mostTimeRatio && bytesRatio <= mostBytesRatio;
}

function medianOf(samples: readonly number[]): number {
  return median(sortSamples(samples)!);
}

async function writePairs(path: string, pairs: readonly Pair[], readBytes: number): Promise<void> {
  const rows = pairs.flatMap((pair, index) =>
    (['adaptive', 'single'] as const).map((fetching) => {
      const sample = pair[fetching];
      return {
        workload: values.workload,
        pair: index + 1,
        fetching,
        rtt_ms: values.rtt,
        bandwidth_mbps: values.bandwidth,
        run_ms: sample.runMs.toFixed(3),
        wire_bytes: sample.wireBytes,
        wire_requests: sample.wireRequests,
        read_bytes: readBytes,
        daemon_cpu_ms: sample.daemonCpuMs,
      };
    }),
  );
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, stringify(rows, { header: true }));
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
