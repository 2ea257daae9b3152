import type { LinkSetting } from '../../measurements/environment.ts';
import {
  formatBandwidth,
  formatMegabytes,
  formatRatio,
  formatSampleLink,
  formatSeconds,
  formatShare,
} from '../../measurements/format.ts';
import { type PayOff, type Range, solvePayOff } from '../../measurements/pay-off.ts';
import { median } from '../../measurements/stats/median.ts';
import { baselineMode, type Group, isSameLink, type SampleLink, type Summary } from '../../measurements/summary.ts';
import { isImported, type Workload } from '../../workloads/workload.ts';
import type { Paint } from '../cli/terminal.ts';
import type { Mode } from '../run/mode.ts';
import { containerdLines, convertCommand } from './advice.ts';

export interface VerdictRequest {
  readonly summary: Summary;
  readonly workload: Workload;
  readonly modes: readonly Mode[];
  /** Where its access record is kept, for the command that converts. */
  readonly recordPath: string;
  readonly containerdVersion: string | undefined;
}

/** What a run says about the user's own image, in words: per link, then what to do. */
export function renderVerdict(request: VerdictRequest, paint: Paint): string {
  const { summary, workload } = request;
  const links = summary.links.map((link) => ({ link, ...rank(summary, workload.name, link) }));
  const blocks = links.map(({ link, fastest, legacy, lazy }) => {
    const heading = `${paint.bold(`Verdict on ${workload.title}`)}, ${describeLink(link)}`;
    if (fastest === undefined) return `${heading}\n\n  There is none: every cell failed.`;
    return [
      heading,
      '',
      ...describeFastest({ fastest, legacy, lazy }, paint),
      ...(lazy === undefined ? [] : ['', ...describeShares(lazy, legacy)]),
      ...(lazy === undefined || legacy === undefined ? [] : ['', ...describePayOff(summary, lazy, legacy, link)]),
    ].join('\n');
  });
  return `${[
    ...blocks,
    ...describeNext(
      request,
      links.map(({ fastest }) => fastest),
      paint,
    ),
  ].join('\n\n')}\n`;
}

interface Ranked {
  readonly fastest: Group | undefined;
  readonly legacy: Group | undefined;
  /** The fastest of those that pulled lazily. */
  readonly lazy: Group | undefined;
}

function rank({ groups }: Summary, workload: string, link: SampleLink): Ranked {
  const own = groups
    .filter((group) => group.workload === workload && isSameLink(group, link) && group.totalMs !== undefined)
    .filter(({ mode }) => !mode.includes('+'))
    .sort((one, other) => median(one.totalMs!) - median(other.totalMs!));
  return {
    fastest: own[0],
    legacy: own.find(({ mode }) => mode === baselineMode),
    lazy: own.find(({ middle }) => (middle?.lazyLayers ?? 0) > 0),
  };
}

function describeFastest({ fastest, legacy, lazy }: Ranked & { readonly fastest: Group }, paint: Paint): string[] {
  const ready = `ready in ${formatSeconds(median(fastest.totalMs!))} s`;
  const first = `  ${paint.bold(fastest.mode)} is the fastest: ${ready}`;
  if (legacy === undefined) return [`${first}. By how much is not known: legacy was not measured.`];
  const isLegacy = fastest === legacy;
  const compared = isLegacy ? lazy : fastest;
  if (compared === undefined) return [`${first}. No lazy mode was measured.`];
  const { speedUp, mode, totalMs } = compared;
  const times = paint.green(`${formatRatio(speedUp)} as fast`);
  const lead = isLegacy
    ? [`${first}. The fastest lazy mode, ${mode},`, `  takes ${formatSeconds(median(totalMs!))} s, ${times}.`]
    : [`${first}, ${times} as legacy at ${formatSeconds(median(legacy.totalMs!))} s.`];
  return [...lead, `  ${describeEvidence(compared)}`];
}

function describeEvidence({ speedUpInterval: interval, verdict, samples }: Group): string {
  const rounds = samples.length === 1 ? 'One round' : `${samples.length} rounds`;
  if (interval === undefined) return `${rounds}: too few for an interval, --samples 6 or more give one.`;
  const range = `95 % interval ${formatRatio(interval.low)} to ${formatRatio(interval.high)}`;
  return `${rounds}: ${range}, ${verdict === 'faster' || verdict === 'slower' ? 'so it is more than chance' : verdict}.`;
}

function describeShares(lazy: Group, legacy: Group | undefined): string[] {
  const imageBytes = legacy?.middle?.imageBytes ?? lazy.middle?.imageBytes;
  const { medianWireBytes } = lazy;
  const share =
    medianWireBytes && imageBytes
      ? ` of ${formatMegabytes(imageBytes)} MB, ${formatShare(medianWireBytes / imageBytes)}`
      : '';
  const pull = legacy?.pullShare;
  return [
    `  Until ready, ${lazy.mode} fetches ${formatMegabytes(medianWireBytes)} MB${share} of the image.`,
    ...(pull === undefined ? [] : [`  Of legacy's start, ${formatShare(pull)} is the pull.`]),
  ];
}

function describePayOff({ groups }: Summary, lazy: Group, legacy: Group, link: SampleLink): string[] {
  const imageBytes = legacy.middle?.imageBytes;
  const { medianWireBytes, medianWireRequests } = lazy;
  if (!imageBytes || !medianWireBytes || !legacy.medianWireBytes || link.rttMs === undefined) return [];
  const setting: LinkSetting = { rttMs: link.rttMs, bandwidthMbps: link.bandwidthMbps };
  const { createMs, runMs } = legacy.middle!;
  const payOff = solvePayOff({
    link: setting,
    legacy: { totalMs: median(legacy.totalMs!), wireBytes: legacy.medianWireBytes, readyMs: createMs + runMs },
    lazy: {
      totalMs: median(lazy.totalMs!),
      wireBytes: medianWireBytes,
      wireRequests: medianWireRequests ?? 0,
      roundTrips: seenRoundTrips(groups, lazy),
    },
    imageBytes,
  });
  const share = medianWireBytes / imageBytes;
  return [
    `  Where lazy pulling (${lazy.mode}) pays, by a cautious model from this run:`,
    ...payOffRows(payOff, setting, share),
  ];
}

/** From the same start at the round trip that is farthest from this one. Undefined where there is no other. */
function seenRoundTrips(
  groups: readonly Group[],
  { workload, mode, bandwidthMbps, rttMs, tcp, totalMs }: Group,
): number | undefined {
  if (rttMs === undefined) return undefined;
  const others = groups.flatMap((other) => {
    const isSame =
      other.workload === workload && other.mode === mode && other.bandwidthMbps === bandwidthMbps && other.tcp === tcp;
    if (!isSame || other.rttMs === undefined || other.rttMs === rttMs || other.totalMs === undefined) return [];
    return [{ distanceMs: other.rttMs - rttMs, moreMs: median(other.totalMs) - median(totalMs!) }];
  });
  const [farthest] = others.sort((one, other) => Math.abs(other.distanceMs) - Math.abs(one.distanceMs));
  return farthest && farthest.moreMs / farthest.distanceMs;
}

function payOffRows({ bandwidthMbps, rttMs, share }: PayOff, link: LinkSetting, shareHere: number): string[] {
  const rows = [
    ['bandwidth', inWords(bandwidthMbps, (value) => formatBandwidth(twoDigits(value))), `at ${link.rttMs} ms RTT`],
    [
      'round trip',
      inWords(rttMs, (value) => `${twoDigits(value)} ms`),
      `at ${link.bandwidthMbps === undefined ? 'unlimited bandwidth' : formatBandwidth(link.bandwidthMbps)}`,
    ],
    ['share read', inWords(share, formatShare), `at both; here it is ${formatShare(shareHere)}`],
  ] as const;
  return rows.map(([what, range, at]) => `    ${what.padEnd(12)}${range.padEnd(19)}${at}`);
}

function inWords(range: Range, format: (value: number) => string): string {
  switch (range.kind) {
    case 'always':
      return 'any';
    case 'never':
      return 'none';
    case 'below':
      return `below ${format(range.value)}`;
    case 'above':
      return `above ${format(range.value)}`;
  }
}

/** A model's value has no more that count. */
function twoDigits(value: number): number {
  return Number(value.toPrecision(2));
}

function describeNext(request: VerdictRequest, fastest: readonly (Group | undefined)[], paint: Paint): string[] {
  const { workload, modes, recordPath, containerdVersion } = request;
  const name = fastest.find((group) => group !== undefined && group.mode !== baselineMode)?.mode;
  const mode = modes.find((one) => one.name === name);
  if (mode === undefined && fastest.some((group) => group !== undefined)) {
    return [
      `${paint.bold('What to do next')}\n\n  Keep the image as it is: nothing is gained by converting it for such a link.`,
    ];
  }
  if (mode === undefined || !isImported(workload.image)) return [];
  const command = convertCommand(workload.image, mode, recordPath);
  if (mode.daemonConfig === undefined || mode.peer !== undefined || command === undefined) return [];
  const major = Number(/\bv?(\d+)\.\d+/.exec(containerdVersion ?? '')?.[1] ?? 2);
  return [
    [
      paint.bold('What to do next'),
      '',
      '  1. Convert the image with what this run recorded, into a registry:',
      '',
      `     ${command}`,
      '',
      '  2. Run the snapshotter on the nodes (see snapshotter/deploy), with these lines',
      `     in /etc/containerd/config.toml of containerd ${major}.x:`,
      '',
      ...containerdLines(major).map((line) => `     ${line}`),
    ].join('\n'),
  ];
}

function describeLink(link: SampleLink): string {
  return formatSampleLink(link) ?? 'over the link as it is';
}
