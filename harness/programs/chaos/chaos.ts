import { seededRandom } from '../../../measurements/stats/random.ts';
import { openGate } from '../../../testkit/gate.ts';
import { programLifetime } from '../../../testkit/lifetime.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { say } from '../../cli/program.ts';
import { conclude } from '../../run/conclude.ts';
import { daemonSetting } from '../../run/daemon-setting.ts';
import { openResults, type Results } from '../../run/results.ts';
import { type ChaosImage, pushImages } from './images.ts';
import { liveOnce } from './life.ts';
import { type FragileRegistry, startFragileRegistry } from './registry.ts';
import { faultColumns, type Life, lifeColumns, limitsOf, type RegistryFaults, totalFaults } from './tally.ts';

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly nodes: number;
  readonly out: string;
  readonly argv: readonly string[];
}

const imageCount = 8;

/** Resolves to true if all limits were met. */
export async function runChaos(options: ChaosOptions, signal: AbortSignal): Promise<boolean> {
  const { seed, argv, out: outDir } = options;
  await using lifetime = programLifetime();
  const scratch = openScratch(lifetime, 'chaos');
  const registry = await startFragileRegistry(`${scratch}/registry`, signal);
  lifetime.after(() => registry.close());
  const images = await pushImages(registry.address, imageCount);
  const daemon = daemonSetting({});
  await using results = await openResults({ program: 'chaos', argv, outDir, seed, daemon }, signal);
  const { lives, registryFaults } = await liveAll(options, { registry, images, scratch, lifetime, results }, signal);
  const totals = totalFaults(lives, registryFaults);
  await results.writeTable('faults', faultColumns, totals);
  say(totals.map(({ fault, count }) => `${fault} ${count}`).join(', '));
  return await conclude(results, limitsOf(lives));
}

interface Surroundings {
  readonly registry: FragileRegistry;
  readonly images: readonly ChaosImage[];
  readonly scratch: string;
  readonly lifetime: Parameters<typeof openGate>[0];
  readonly results: Results;
}

async function liveAll(
  { minutes, seed, nodes }: ChaosOptions,
  { registry, images, scratch, lifetime, results }: Surroundings,
  signal: AbortSignal,
): Promise<{ lives: Life[]; registryFaults: RegistryFaults }> {
  const table = await results.openTable('lives', lifeColumns);
  const lives: Life[] = [];
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(minutes * 60_000)]);
  const registryFaults: RegistryFaults = { registryKills: 0, registryStops: 0 };
  const troubling = registry.trouble(seededRandom(seed), registryFaults, deadline);
  const liveOn = async (node: number): Promise<void> => {
    const random = seededRandom(seed + 1 + node);
    const gate = await openGate(lifetime, registry.address);
    for (let life = 1; !deadline.aborted; life++) {
      const image = images[random() % images.length]!;
      const lived = await liveOnce(
        {
          ...{ node, life, gate, random, deadline },
          directory: `${scratch}/${node}`,
          idPrefix: `chaos-${process.pid}-${node}-${life}-`,
          seed: random(),
          face: node % 2 === 0 ? 'fuse' : 'erofs',
          image: { ...image, reference: `${gate.address}/${image.name}` },
        },
        signal,
      );
      lives.push(lived);
      await table.append(lived);
      say(describe(lived));
    }
  };
  // On an abort too: each node takes down what it started before the registry and the gates go.
  const ends = await Promise.allSettled([...Array.from({ length: nodes }, (_, node) => liveOn(node)), troubling]);
  signal.throwIfAborted();
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return { lives, registryFaults };
}

function describe({ node, life, face, reads, eios, longestMs, windowZeroBytes, failure }: Life): string {
  const outcome = failure === undefined ? 'good' : `FAILED: ${failure}`;
  const window = windowZeroBytes > 0 ? `, ${windowZeroBytes} zeros in the window` : '';
  return `node ${node} (${face}), life ${life}: ${reads} reads, ${eios} EIOs, longest ${Math.round(longestMs)} ms${window}; ${outcome}`;
}
