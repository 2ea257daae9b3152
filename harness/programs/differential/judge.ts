import type { LayerFormat } from '../../../snapshotter/convert/format.ts';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { compareTrees, describeDifference } from './comparison.ts';
import { pushStack, type RegistryImage, readImage } from './image.ts';
import { pullLazily } from './lazy-pull.ts';
import { type Unpacked, unpackByContainerd } from './reference.ts';
import type { Face, Rig } from './rig.ts';
import type { Stack } from './stack.ts';

export interface Failure {
  /** `estargz on erofs`, `stargz unpacked`, `estargz converted`. */
  readonly where: string;
  /** Fields that differ, or `refused`, `served`, `failed`. */
  readonly what: string;
  readonly details: readonly string[];
}

export interface Verdict {
  readonly failures: readonly Failure[];
  /** containerd's words, where it refuses the stack itself. */
  readonly refusal: string | undefined;
  readonly entries: number;
  readonly lazyLayers: number;
  readonly fallbackLayers: number;
  /** Mounted trees that were compared. */
  readonly comparisons: number;
}

/** Of what a failure is: a kind is shrunk and reported once. */
export function kindOf({ where, what }: Failure): string {
  return `${where}: ${what}`;
}

const shownDifferences = 6;
/** What a converter adds to a layer's root; a lazy mount hides it. */
const added = ['stargz.index.json', '.prefetch.landmark', '.no.prefetch.landmark'];
let judged = 0;

/** Has containerd unpack the stack, and holds against that what becomes of each conversion, unpacked and mounted lazily. */
export async function judgeStack(
  rig: Rig,
  stack: Stack,
  formats: readonly LayerFormat[],
  signal: AbortSignal,
): Promise<Verdict> {
  const repository = `stack-${++judged}`;
  const source = await pushStack(rig.registry, repository, 'source', stack);
  const reference = await unpackByContainerd(rig.containerd, rig.listers.get('reference')!, source, added, signal);
  const judgements = await Promise.all(formats.map((format) => judgeFormat(rig, source, reference, format, signal)));
  const sum = (count: (judgement: Judgement) => number): number =>
    judgements.reduce((total, judgement) => total + count(judgement), 0);
  return {
    failures: judgements.flatMap(({ failures }) => failures),
    refusal: 'refusal' in reference ? reference.refusal : undefined,
    entries: 'refusal' in reference ? 0 : reference.entries.length,
    lazyLayers: sum(({ lazyLayers }) => lazyLayers),
    fallbackLayers: sum(({ fallbackLayers }) => fallbackLayers),
    comparisons: sum(({ comparisons }) => comparisons),
  };
}

type Judgement = Pick<Verdict, 'failures' | 'lazyLayers' | 'fallbackLayers' | 'comparisons'>;

async function judgeFormat(
  rig: Rig,
  source: RegistryImage,
  reference: Unpacked,
  format: LayerFormat,
  signal: AbortSignal,
): Promise<Judgement> {
  const { repository } = source;
  const target = parseReference(`${rig.registry.address}/${repository}:${format}`);
  try {
    await convertImage(rig.client, parseReference(source.reference), target, { format, signal });
  } catch (error) {
    signal.throwIfAborted();
    const failure = { where: `${format} converted`, what: 'refused', details: [String(error)] };
    const nothing = { lazyLayers: 0, fallbackLayers: 0, comparisons: 0 };
    return { failures: 'refusal' in reference ? [] : [failure], ...nothing };
  }
  const image = readImage(rig.registry, repository, format);
  const unpacked = await unpackByContainerd(rig.containerd, rig.listers.get('reference')!, image, added, signal);
  const where = `${format} unpacked`;
  const failures: Failure[] = [];
  if ('refusal' in unpacked) {
    if (!('refusal' in reference)) failures.push({ where, what: 'refused', details: [unpacked.refusal] });
  } else failures.push(...judgeTree(where, reference, unpacked.entries));
  const lazy = await judgeLazily(rig, image, format, reference, signal);
  return { ...lazy, failures: [...failures, ...lazy.failures], comparisons: lazy.comparisons + 1 };
}

/** The image mounted on each face, against what it should show. */
async function judgeLazily(
  rig: Rig,
  image: RegistryImage,
  name: string,
  reference: Unpacked,
  signal: AbortSignal,
): Promise<Judgement> {
  const failures: Failure[] = [];
  let [lazyLayers, fallbackLayers, comparisons] = [0, 0, 0];
  await Promise.all(
    [...rig.daemons].map(async ([face, daemon]: [Face, Parameters<typeof pullLazily>[0]]) => {
      const where = `${name} on ${face}`;
      try {
        await pullLazily(
          daemon,
          rig.containerd,
          image,
          async (pull) => {
            lazyLayers += pull.lazyLayers;
            fallbackLayers += pull.fallbackLayers;
            comparisons++;
            failures.push(...judgeTree(where, reference, await rig.listers.get(face)!.list(pull.mount, [])));
          },
          signal,
        );
      } catch (error) {
        signal.throwIfAborted();
        if (!('refusal' in reference)) failures.push({ where, what: 'failed', details: [String(error)] });
      }
    }),
  );
  return { failures, lazyLayers, fallbackLayers, comparisons };
}

function judgeTree(where: string, reference: Unpacked, entries: Parameters<typeof compareTrees>[1]): Failure[] {
  if ('refusal' in reference) {
    return [{ where, what: 'served', details: [`containerd refuses: ${reference.refusal}`] }];
  }
  const differences = compareTrees(reference, entries);
  if (differences.length === 0) return [];
  const what = [...new Set(differences.map(({ field }) => field))].sort().join(' ');
  return [{ where, what, details: differences.slice(0, shownDifferences).map(describeDifference) }];
}
