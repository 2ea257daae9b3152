import { formatMegabytes, formatSeconds } from '../../../measurements/format.ts';
import type { Columns } from '../../../measurements/table.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { styleOf } from '../../../workloads/workload.ts';
import { workloads } from '../../../workloads/catalogue.ts';
import { ensureWorkloadImages, imagesDisk, openTestbedRun } from '../../assembly/testbed.ts';
import { createCellExecutor } from '../../cell/cell.ts';
import { legacy } from '../../cell/modes/legacy.ts';
import { messageOf } from '../../cli/error.ts';
import { out, parseOptions, selected, stateDir, usageOf } from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { startLink } from '../../link/link.ts';
import { conclude } from '../../run/conclude.ts';

const program = 'workloads:check';
const about = `Builds the images of workloads and runs each once, pulled whole: it must get ready with the expected output`;
const table = { workloads: selected('workload', workloads, 'what is run', { shownDefault: '@all' }), out, stateDir };

interface Row {
  readonly workload: string;
  readonly style: string;
  readonly ok: boolean;
  /** Of what was missing of the image and of those it is built on; undefined if it was there. */
  readonly buildMs: number | undefined;
  /** Of the compressed layers. */
  readonly imageBytes: number | undefined;
  readonly layers: number | undefined;
  readonly readyMs: number | undefined;
  readonly error: string | undefined;
}

const columns: Columns<Row> = {
  workload: 'text',
  style: 'text',
  ok: 'boolean',
  buildMs: 'number',
  imageBytes: 'number',
  layers: 'number',
  readyMs: 'number',
  error: 'text',
};

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir } = options;
  const link = { rttMs: 0, bandwidthMbps: undefined };
  const freeBytes = await imagesDisk(options.workloads, ['legacy'], stateDir);
  const request = { program, argv, outDir, stateDir, link, freeBytes };
  await using testbed = await openTestbedRun(request, signal);
  const { results, registryAddress } = testbed;
  await using stack = new AsyncDisposableStack();
  const relay = await startLink({ target: registryAddress, ...link });
  stack.defer(() => relay.close());
  const samples = await results.openTable('samples', columns);
  let failedCount = 0;
  for (const workload of options.workloads) {
    const row = await checkWorkload({ workload, stateDir, registryAddress, link: relay }, signal);
    await samples.append(row);
    if (!row.ok) failedCount++;
    say(describe(row));
  }
  return (await conclude(results, [], { failedCount })) && failedCount === 0;
}

interface Check {
  readonly workload: Workload;
  readonly stateDir: string;
  readonly registryAddress: string;
  readonly link: Awaited<ReturnType<typeof startLink>>;
}

async function checkWorkload(check: Check, signal: AbortSignal): Promise<Row> {
  const { workload, stateDir, registryAddress, link } = check;
  const nothing = { buildMs: undefined, imageBytes: undefined, layers: undefined, readyMs: undefined };
  const row = { workload: workload.name, style: styleOf(workload), ...nothing };
  let hasBuilt = false;
  const onStep = (detail: string) => {
    hasBuilt = true;
    say(detail);
  };
  try {
    const start = performance.now();
    const request = { stateDir, registryAddress, variants: ['legacy'], onStep } as const;
    const images = await ensureWorkloadImages([workload], request, signal);
    const buildMs = hasBuilt ? performance.now() - start : undefined;
    const executor = createCellExecutor({ stateDir, link, imageOf: () => images.get(workload.image.name)!.legacy! });
    try {
      const cell = { order: 1, workload, mode: legacy, link: undefined, sample: 1 };
      const outcome = await executor.execute(cell, () => {}, signal);
      if (!outcome.ok) return { ...row, buildMs, ok: false, error: outcome.error };
      const { imageBytes, layers, pullMs, createMs, runMs } = outcome;
      return { ...row, ok: true, buildMs, imageBytes, layers, readyMs: pullMs + createMs + runMs, error: undefined };
    } finally {
      await executor.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    return { ...row, ok: false, error: messageOf(error) };
  }
}

function describe({ workload, style, ok, buildMs, imageBytes, layers, readyMs, error }: Row): string {
  if (!ok) return `${workload} (${style}): FAILED: ${error}`;
  const built = buildMs === undefined ? 'image there' : `built in ${formatSeconds(buildMs)} s`;
  return `${workload} (${style}): ready in ${formatSeconds(readyMs)} s, ${formatMegabytes(imageBytes)} MB, ${layers} layers, ${built}`;
}
