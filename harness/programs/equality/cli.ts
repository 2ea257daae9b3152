import { defaultWorkloads, workloads } from '../../../workloads/catalogue.ts';
import { defaultStateDir, parseFlags, parseNames, selectNamed } from '../../cli/arguments.ts';
import { openSandbox } from '../../cell/sandbox.ts';
import { estargz } from '../../cell/modes/estargz.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import { parseMounts, parsePath } from '../../bench/options.ts';
import { runProgram, say } from '../../cli/program.ts';
import { ensureWorkloadImages, imagesBytes, openTestbed } from '../../assembly/testbed.ts';
import { compareMounts } from './compare.ts';

const usage = `Compares every file of the lazily mounted workload images, stargz and eStargz, with the same images unpacked by
overlayfs: npm run equality -- [options]
  --workloads a,b       which images                   (default: those of the default workloads)
  --mount fuse,erofs    how they are mounted           (default fuse)
  --state-dir DIR       images and registry            (default ${defaultStateDir})`;

await runProgram({ name: 'equality', usage, run });

async function run(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const values = parseFlags(argv, {
    workloads: { type: 'string' },
    mount: { type: 'string', default: 'fuse' },
    'state-dir': { type: 'string', default: defaultStateDir },
  });
  const asked = parseNames('--workloads', values.workloads);
  const chosen = asked === undefined ? defaultWorkloads : selectNamed('workload', workloads, asked);
  const backends = parseMounts(values.mount)!;
  const stateDir = parsePath('--state-dir', values['state-dir']);
  await using testbed = await openTestbed({ stateDir, freeBytes: imagesBytes }, signal);
  const { registryAddress } = testbed;
  const request = { stateDir, registryAddress, variants: ['stargz', 'estargz'] as const, onStep: say };
  const sets = await ensureWorkloadImages(chosen, request, signal);
  let equal = true;
  for (const [name, set] of sets) {
    for (const mode of [stargz, estargz]) {
      for (const backend of backends) {
        const image = `${registryAddress}/${set[mode.variant]}`;
        const daemonConfig = { ...mode.daemonConfig, mount: { backend } };
        const result = await compareMounts(
          { sandbox: openSandbox(stateDir), registryAddress, image, daemonConfig },
          signal,
        );
        const verdict = result.differences.length === 0 ? 'equal' : 'DIFFERENT';
        say(`${name} ${mode.name} (${result.mount}): ${result.entries} entries in ${result.layers} layers, ${verdict}`);
        for (const difference of result.differences) say(`  ${difference}`);
        equal &&= result.differences.length === 0;
      }
    }
  }
  return equal;
}
