import { workloads } from '../../../workloads/catalogue.ts';
import { defaultStateDir, parseFlags, selectNamed } from '../../cli/arguments.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import { writeRecords } from '../../run/csv.ts';
import { parsePath } from '../../bench/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { parseBandwidth, parseCount, parseDuration } from '../../cli/quantity.ts';
import { startLink } from '../../link/link.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { ensureWorkloadImages, imagesBytes, openTestbed } from '../../assembly/testbed.ts';
import { measureRun, type RunSample } from './measure.ts';

const usage = `What adaptive fetching is worth: a workload on an image that was not optimised for it, in interleaved pairs with the
same daemon fetching one chunk at a time: npm run bench:numpy -- [options]
  --workload NAME       what is run                    (default numpy)
  --pairs N             how often                      (default 10)
  --rtt TIME            of the link                    (default 30ms)
  --bandwidth RATE      of the link                    (default 200mbit)
  --out FILE.csv        one row a run
  --state-dir DIR       images and registry            (default ${defaultStateDir})`;

const mostTimeRatio = 0.5;
const mostBytesRatio = 1.5;

interface Pair {
  readonly adaptive: RunSample;
  readonly single: RunSample;
}

await runProgram({ name: 'bench:numpy', usage, run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = readOptions(argv);
  const { pairs, readBytes } = await measureAll(options, signal);
  if (options.out !== undefined) await writeRecords(options.out, toRecords(options, pairs, readBytes));
  return report(pairs, readBytes);
}

function readOptions(argv: readonly string[]) {
  const values = parseFlags(argv, {
    workload: { type: 'string', default: 'numpy' },
    pairs: { type: 'string', default: '10' },
    rtt: { type: 'string', default: '30ms' },
    bandwidth: { type: 'string', default: '200mbit' },
    'state-dir': { type: 'string', default: defaultStateDir },
    out: { type: 'string' },
  });
  const [workload] = selectNamed('workload', workloads, [values.workload]);
  return {
    workload: workload!,
    pairCount: parseCount('--pairs', values.pairs, 1, 1000),
    link: { rttMs: parseDuration('--rtt', values.rtt), bandwidthMbps: parseBandwidth('--bandwidth', values.bandwidth) },
    stateDir: parsePath('--state-dir', values['state-dir']),
    out: values.out,
  };
}

type Options = ReturnType<typeof readOptions>;

async function measureAll(
  { workload, pairCount, link: asked, stateDir }: Options,
  signal: AbortSignal,
): Promise<{ pairs: Pair[]; readBytes: number }> {
  await using stack = new AsyncDisposableStack();
  const { registryAddress } = stack.use(await openTestbed({ stateDir, freeBytes: imagesBytes }, signal));
  const request = { stateDir, registryAddress, variants: ['stargz'] as const, onStep: say };
  const sets = await ensureWorkloadImages([workload], request, signal);
  const image = sets.get(workload.image.name)!.stargz!;
  const link = await startLink({ target: registryAddress, ...asked });
  stack.defer(() => link.close());
  const common = { sandbox: openSandbox(stateDir), link, workload, image };
  // Not timed: it also warms what the first pair would otherwise warm for the second.
  const { readBytes } = await measureRun({ ...common, adaptiveFetch: false, countReads: true }, signal);
  const pairs: Pair[] = [];
  for (let pair = 0; pair < pairCount; pair++) {
    const measure = (adaptiveFetch: boolean) => measureRun({ ...common, adaptiveFetch }, signal);
    // The order alternates, so that a drift of the machine favours neither.
    const first = await measure(pair % 2 === 0);
    const second = await measure(pair % 2 === 1);
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

function toRecords({ workload, link }: Options, pairs: readonly Pair[], readBytes: number) {
  return pairs.flatMap((pair, index) =>
    (['adaptive', 'single'] as const).map((fetching) => {
      const sample = pair[fetching];
      return {
        workload: workload.name,
        pair: index + 1,
        fetching,
        rtt_ms: link.rttMs,
        bandwidth_mbps: link.bandwidthMbps,
        run_ms: sample.runMs,
        wire_bytes: sample.wireBytes,
        wire_requests: sample.wireRequests,
        read_bytes: readBytes,
        daemon_cpu_ms: sample.daemonCpuMs,
      };
    }),
  );
}
