import { readFile } from 'node:fs/promises';
import { type DownloadedLayer, describeDownload } from '../containerd/proof.ts';
import type { Variant } from '../images/variants.ts';
import { type Fallback, readFallbacks } from './daemon-trace.ts';

/** What our daemon says of layers that were not pulled lazily. */
export interface NotLazy {
  /** One line. */
  readonly text: string;
  /** Distinct, in the order of the layers. Empty: its log says nothing. */
  readonly reasons: readonly string[];
}

const maxTexts = 3;
const maxTextLength = 400;

/** Takes the reasons from the daemon's log, which goes with the cell. */
export async function readNotLazy(downloaded: readonly DownloadedLayer[], logPath: string): Promise<NotLazy> {
  return explainNotLazy(downloaded, await readFile(logPath, 'utf8'));
}

export function explainNotLazy(downloaded: readonly DownloadedLayer[], log: string): NotLazy {
  const fallbacks = readFallbacks(log);
  const known = downloaded.map((layer) => ({ layer, fallback: fallbackOf(layer, fallbacks) }));
  const lowest = known.find(({ layer }) => !layer.isMounted)?.layer.number ?? Number.POSITIVE_INFINITY;
  const groups = [
    ...Map.groupBy(known, ({ layer, fallback }) =>
      // Its unpacker fetches from the first layer that is not there already to the last.
      layer.isMounted && layer.number > lowest
        ? 'containerd downloads every layer above one that is not lazy'
        : describeCause(layer, fallback),
    ),
  ];
  const texts = groups.slice(0, maxTexts).map(([cause, of]) => `${nameLayers(of.map(({ layer }) => layer))}: ${cause}`);
  const more = groups.slice(maxTexts).flatMap(([, of]) => of).length;
  return {
    text: [...texts, ...(more === 0 ? [] : [`and ${more} more`])].join('; '),
    reasons: [...new Set(known.flatMap(({ fallback }) => fallback?.reason ?? []))],
  };
}

export interface RemedySetting {
  readonly variant: Variant;
  /** Whether the harness has converted the image, for the registry that it starts itself. */
  readonly isEmbedded: boolean;
}

/** What to do about layers that were not pulled lazily for these reasons; one line. */
export function remedyFor(reasons: readonly string[], setting: RemedySetting): string {
  const remedies = reasons.map((reason) => remedyOf(reason, setting));
  return remedies.length === 0
    ? 'see "A layer is not lazy" in docs/debugging.md'
    : [...new Set(remedies)].filter((remedy) => remedy !== '').join('; ');
}

/** By the reasons of snapshotter/layers/error.ts and snapshotter/service/lazy-layers.ts. */
function remedyOf(reason: string, { variant, isEmbedded }: RemedySetting): string {
  switch (reason) {
    case 'not-lazy':
    case 'unverified':
    case 'toc-digest-mismatch':
    case 'corrupt':
      return isEmbedded
        ? 'npm run images -- prune --variants legacy removes what was converted, and the next run converts it again'
        : `convert the image again: npm run convert -- SOURCE TARGET --format ${formatOf(variant)}`;
    case 'limit':
      return 'split the layer into smaller ones, or measure the image with --modes legacy';
    case 'disk':
      return 'make room below the state directory, or name another one with --state-dir';
    case 'timeout':
      return 'choose a shorter --rtt or a higher --bandwidth';
    case 'unreachable':
      return 'run again; if it stays, see with npm run images -- verify whether the registry has all of the image';
    // Its own text says what to do.
    case 'unauthorized':
      return '';
    case 'no-labels':
    case 'bad-labels':
      return 'see "A layer is not lazy" in docs/debugging.md';
    default:
      return 'this is a fault of the daemon: report it with this line';
  }
}

function formatOf(variant: Variant): string {
  if (variant === 'zstdchunked') return 'zstd-chunked';
  return variant === 'stargz' ? 'stargz' : 'estargz';
}

/** The last line about the layer: an earlier one may be of a run before. */
function fallbackOf({ digest, chainId }: DownloadedLayer, fallbacks: readonly Fallback[]): Fallback | undefined {
  return (
    fallbacks.findLast((fallback) => fallback.chainId === chainId) ??
    fallbacks.findLast((fallback) => fallback.digest === digest)
  );
}

/** The same for layers that have the same cause, so without their digest. */
function describeCause(layer: DownloadedLayer, fallback: Fallback | undefined): string {
  if (fallback === undefined) return describeDownload(layer);
  const said = (fallback.error ?? '').replace(`mount layer ${layer.digest}: `, '').replaceAll(/\s+/g, ' ');
  const shown = said.length > maxTextLength ? `${said.slice(0, maxTextLength)}…` : said;
  return `the daemon says ${[fallback.reason, shown].filter((part) => part !== '').join(': ')}`;
}

/** `layer 2 of 4`, `layers 1-2, 4 of 4` */
function nameLayers(layers: readonly DownloadedLayer[]): string {
  const runs: { first: number; last: number }[] = [];
  for (const { number } of layers) {
    const run = runs.at(-1);
    if (run?.last === number - 1) run.last = number;
    else runs.push({ first: number, last: number });
  }
  const numbers = runs.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
  return `${layers.length === 1 ? 'layer' : 'layers'} ${numbers} of ${layers[0]!.count}`;
}
