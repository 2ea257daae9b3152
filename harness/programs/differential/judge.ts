import { RpcError } from '../../../snapshotter/api/client.ts';
import { type LayerFormat, layerFormats } from '../../../snapshotter/convert/format.ts';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import type { ListedEntry } from '../equality/tree.ts';
import { compareTrees, describeDifference, type ReferenceTree } from './comparison.ts';
import { pushStack, type RegistryImage, readImage } from './image.ts';
import { type LazyPull, pullLazily, type SnapshotterClient } from './lazy-pull.ts';
import { convertByPeer } from './peer.ts';
import { isRefused, type Unpacked, unpackByContainerd } from './reference.ts';
import type { Face, Rig } from './rig.ts';
import type { Stack } from './stack.ts';
import { withoutWhatThePeerLoses } from './stack-arbitrary.ts';
import { withoutWhiteoutConflicts } from './whiteout-conflicts.ts';

/** Who converts: this project to each of its formats, or ctr-remote to eStargz. */
export const conversions = [...layerFormats, 'ctr-remote'] as const;
export type Conversion = (typeof conversions)[number];

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
  readonly isUndecided: boolean;
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

/** One line a failure, in the order in which an image is converted, unpacked and mounted. */
export function describeVerdict({ failures }: Verdict): string[] {
  return failures
    .toSorted((one, other) => order(one.where) - order(other.where))
    .map((failure) => `${kindOf(failure)}: ${failure.details.join('; ')}`);
}

function order(where: string): number {
  return ['converted', 'unpacked', 'on fuse', 'on erofs'].findIndex((place) => where.endsWith(place));
}

/** Has containerd unpack the stack, and holds against that what becomes of each conversion, unpacked and mounted lazily. */
export async function judgeStack(
  rig: Rig,
  stack: Stack,
  formats: readonly Conversion[],
  signal: AbortSignal,
  /** What is converted: the same stack, except to see that a difference is found. */
  converted: Stack = stack,
): Promise<Verdict> {
  const repository = `stack-${++judged}`;
  const expectation = await unpackReference(rig, repository, stack, signal);
  const source = await pushStack(rig.registry, repository, 'source', converted);
  const judgements = await Promise.all(
    formats.map((format) =>
      format === 'ctr-remote'
        ? judgePeer(rig, repository, converted, signal)
        : judgeFormat(rig, source, expectation, format, signal),
    ),
  );
  const sum = (count: (judgement: Judgement) => number): number =>
    judgements.reduce((total, judgement) => total + count(judgement), 0);
  return {
    failures: judgements.flatMap(({ failures }) => failures),
    refusal: expectation.refusal,
    isUndecided: expectation.isUndecided,
    entries: expectation.tree?.entries.length ?? 0,
    lazyLayers: sum(({ lazyLayers }) => lazyLayers),
    fallbackLayers: sum(({ fallbackLayers }) => fallbackLayers),
    comparisons: sum(({ comparisons }) => comparisons),
  };
}

/** What may be shown of a stack. Where there is a refusal, refusing is right as well; where there is no tree, only that is. */
interface Expectation {
  readonly tree: ReferenceTree | undefined;
  readonly refusal: string | undefined;
  /** Nothing can be said: it has a whiteout conflict, and containerd refuses it without that too. */
  readonly isUndecided: boolean;
  /**
   * A layer that stands in the stack twice is one lower directory of ours and two of containerd's. Of a directory with
   * nothing below it overlayfs lists whiteouts, though it does not find them, and of a merged one it does not.
   */
  readonly mayListWhiteouts: boolean;
}

/** Where containerd refuses a stack for a whiteout conflict, what it makes of the same stack without one. */
async function unpackReference(rig: Rig, repository: string, stack: Stack, signal: AbortSignal): Promise<Expectation> {
  const mayListWhiteouts = hasRepeatedLayer(stack);
  const unpack = async (tag: string, pushed: Stack): Promise<Unpacked> => {
    const image = await pushStack(rig.registry, repository, tag, pushed);
    return unpackByContainerd(rig.containerd, rig.listers.get('reference')!, image, added, signal);
  };
  const unpacked = await unpack('expected', stack);
  if (!isRefused(unpacked)) return { tree: unpacked, refusal: undefined, isUndecided: false, mayListWhiteouts };
  const { refusal } = unpacked;
  const settled = withoutWhiteoutConflicts(stack);
  if (settled === undefined)
    return { tree: undefined, refusal, isUndecided: mayConflict(stack, refusal), mayListWhiteouts };
  const again = await unpack('settled', settled);
  return isRefused(again)
    ? { tree: undefined, refusal, isUndecided: true, mayListWhiteouts }
    : { tree: again, refusal, isUndecided: false, mayListWhiteouts };
}

/** A whiteout, and an entry in its place or below it, perhaps through a link. */
const whiteoutConflict = /: (file exists|not a directory): unknown$/;

function hasRepeatedLayer({ layers }: Stack): boolean {
  return new Set(layers.map(({ entries }) => JSON.stringify(entries))).size < layers.length;
}

function mayConflict({ layers }: Stack, refusal: string): boolean {
  const hasWhiteout = layers.some(({ entries }) => entries.some(({ name }) => /(^|\/)\.wh\./.test(name)));
  return hasWhiteout && whiteoutConflict.test(refusal);
}

type Judgement = Pick<Verdict, 'failures' | 'lazyLayers' | 'fallbackLayers' | 'comparisons'>;

async function judgeFormat(
  rig: Rig,
  source: RegistryImage,
  expectation: Expectation,
  format: LayerFormat,
  signal: AbortSignal,
): Promise<Judgement> {
  const { repository } = source;
  const target = parseReference(`${rig.registry.address}/${repository}:${format}`);
  try {
    await convertImage(rig.client, parseReference(source.reference), target, { format, signal });
  } catch (error) {
    signal.throwIfAborted();
    const failures = judgeRefusal(`${format} converted`, expectation, String(error));
    return { failures, lazyLayers: 0, fallbackLayers: 0, comparisons: 0 };
  }
  const image = readImage(rig.registry, repository, format);
  const lister = rig.listers.get('reference')!;
  const unpacked = await unpackByContainerd(rig.containerd, lister, image, added, signal);
  const where = `${format} unpacked`;
  const failures = isRefused(unpacked)
    ? judgeRefusal(where, expectation, unpacked.refusal)
    : judgeTree(where, expectation, unpacked.entries);
  const lazy = await judgeLazily(rig, image, format, expectation, signal);
  return { ...lazy, failures: [...failures, ...lazy.failures], comparisons: lazy.comparisons + 1 };
}

/**
 * An image of the peer's is right as containerd unpacks that image. Without what the peer loses, which the lazy mount, for
 * it is in no TOC, cannot show.
 */
async function judgePeer(rig: Rig, repository: string, stack: Stack, signal: AbortSignal): Promise<Judgement> {
  const mayListWhiteouts = hasRepeatedLayer(stack);
  const source = await pushStack(rig.registry, repository, 'peer', withoutWhatThePeerLoses(stack));
  const image = await convertByPeer(rig.containerd, rig.registry, source, signal);
  if (image === undefined) return { failures: [], lazyLayers: 0, fallbackLayers: 0, comparisons: 0 };
  const unpacked = await unpackByContainerd(rig.containerd, rig.listers.get('reference')!, image, added, signal);
  const expectation = isRefused(unpacked)
    ? {
        tree: undefined,
        refusal: unpacked.refusal,
        isUndecided: mayConflict(stack, unpacked.refusal),
        mayListWhiteouts,
      }
    : { tree: unpacked, refusal: undefined, isUndecided: false, mayListWhiteouts };
  return judgeLazily(rig, image, 'ctr-remote', expectation, signal);
}

/** The image mounted on each face, against what it should show. */
async function judgeLazily(
  rig: Rig,
  image: RegistryImage,
  name: string,
  expectation: Expectation,
  signal: AbortSignal,
): Promise<Judgement> {
  const failures: Failure[] = [];
  let [lazyLayers, fallbackLayers, comparisons] = [0, 0, 0];
  const judgeFace = async ([face, daemon]: readonly [Face, SnapshotterClient]): Promise<void> => {
    const where = `${name} on ${face}`;
    const use = async (pull: LazyPull): Promise<void> => {
      lazyLayers += pull.lazyLayers;
      fallbackLayers += pull.fallbackLayers;
      comparisons++;
      // What containerd has unpacked shows the TOC and the landmarks; what is mounted lazily must not.
      const skip = pull.fallbackLayers > 0 ? added : [];
      failures.push(...judgeTree(where, expectation, await rig.listers.get(face)!.list(pull.mount, skip)));
    };
    try {
      await pullLazily(daemon, rig.containerd, image, use, signal);
    } catch (error) {
      signal.throwIfAborted();
      // What cannot be mounted or read is no refusal, whatever containerd makes of the stack.
      if (error instanceof RpcError) failures.push(...judgeRefusal(where, expectation, String(error)));
      else failures.push({ where, what: 'failed', details: [String(error)] });
    }
  };
  await Promise.all([...rig.daemons].map(judgeFace));
  return { failures, lazyLayers, fallbackLayers, comparisons };
}

function judgeRefusal(where: string, expectation: Expectation, words: string): Failure[] {
  return expectation.refusal === undefined ? [{ where, what: 'refused', details: [words] }] : [];
}

function judgeTree(where: string, expectation: Expectation, entries: readonly ListedEntry[]): Failure[] {
  const { tree, refusal, isUndecided, mayListWhiteouts } = expectation;
  if (isUndecided) return [];
  if (tree === undefined) {
    return [{ where, what: `served despite: ${lastWords(refusal!)}`, details: [`containerd refuses: ${refusal}`] }];
  }
  const differences = compareTrees(tree, entries).filter(
    ({ field, got }) => !(mayListWhiteouts && field === 'extra' && got === 'ENOENT'),
  );
  if (differences.length === 0) return [];
  const what = [...new Set(differences.map(({ field }) => field))].sort().join(' ');
  return [{ where, what, details: differences.slice(0, shownDifferences).map(describeDifference) }];
}

/** containerd's own reason, without the paths: the words of an errno, mostly. */
function lastWords(refusal: string): string {
  return refusal.replace(/: unknown$/, '').replace(/^.*: /s, '');
}
