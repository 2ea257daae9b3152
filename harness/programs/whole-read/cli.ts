import { openTestbedRun } from '../../assembly/testbed.ts';
import { modes } from '../../cell/modes/catalogue.ts';
import {
  bandwidth,
  number,
  type OptionValues,
  out,
  parseOptions,
  rtt,
  samples,
  selected,
  stateDir,
  usageOf,
} from '../../cli/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { startLink } from '../../link/link.ts';
import type { Mode } from '../../run/mode.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSettingOf } from '../../run/daemon-setting.ts';
import { ensureWeights, measureWholeRead } from './measure.ts';
import {
  describeWholeRead,
  limitsOf,
  summarizeWholeReads,
  type WholeReadTiming,
  wholeReadColumns,
  wholeReadSummaryColumns,
} from './summary.ts';

const program = 'bench:whole-read';
const about = `A server that reads one large file from end to end before it is ready, which leaves nothing to win for lazy pulling: it
must not lose either`;
const table = {
  size: number('MiB of the file', 2048, 1, 64 * 1024),
  modes: selected('mode', modes, 'how it is pulled; legacy is always among them'),
  faces: selected('face', [{ name: 'auto' }, { name: 'fuse' }, { name: 'erofs' }], 'how layers are mounted', {
    defaults: [{ name: 'auto' }],
  }),
  samples: samples(3),
  rtt,
  bandwidth,
  out,
  stateDir,
};
type Options = OptionValues<typeof table>;

await runProgram({ name: program, usage: usageOf(program, about, table), run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const options = parseOptions(argv, table);
  const { stateDir, out: outDir, size: sizeMib } = options;
  const setting = { rttMs: options.rtt, bandwidthMbps: options.bandwidth };
  const measured = modesOf(options);
  const daemon = daemonSettingOf(measured);
  // The file, its tar, and its layer in three formats.
  const freeBytes = 6 * sizeMib * 1024 * 1024;
  const request = { program, argv, outDir, stateDir, link: setting, daemon, freeBytes };
  await using testbed = await openTestbedRun(request, signal);
  const { results, registryAddress } = testbed;
  await ensureWeights(sizeMib, { registryAddress, stateDir, say }, signal);
  await using stack = new AsyncDisposableStack();
  const link = await startLink({ target: registryAddress, ...setting });
  stack.defer(() => link.close());
  const file = await results.openTable('samples', wholeReadColumns);
  const timings: WholeReadTiming[] = [];
  for (let sample = 1; sample <= options.samples; sample++) {
    // The order alternates, so that drift of the machine favours none.
    for (const mode of sample % 2 === 1 ? measured : measured.toReversed()) {
      const cost = await measureWholeRead({ mode, sizeMib, link, stateDir }, signal);
      const timing = { mode: mode.name, sample, sizeMib, ...setting, ...cost };
      await file.append(timing);
      timings.push(timing);
      say(`${sample}/${options.samples} ${describeWholeRead(timing)}`);
    }
  }
  const summary = summarizeWholeReads(timings);
  await results.writeTable('summary', wholeReadSummaryColumns, summary);
  return await conclude(results, limitsOf(summary));
}

/** Each lazy mode once for each face. */
function modesOf({ modes: chosen, faces }: Options): Mode[] {
  const lazy = chosen.flatMap((mode) =>
    mode.daemonConfig === undefined
      ? []
      : faces.map(({ name: backend }) => ({
          ...mode,
          name: backend === 'auto' ? mode.name : `${mode.name}-${backend}`,
          daemonConfig: { ...mode.daemonConfig, mount: { backend } },
        })),
  );
  return [...modes.filter(({ name }) => name === 'legacy'), ...lazy];
}
