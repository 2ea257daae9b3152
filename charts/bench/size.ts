import { fitLine, type Line } from '../../measurements/stats/line.ts';
import { median } from '../../measurements/stats/median.ts';
import type { Chart } from '../drawing/chart.ts';
import { specOf } from '../drawing/multiples.ts';
import { colorByMode, configOf, roomWidth, ticksOver } from '../drawing/theme.ts';
import { describeAround, describeConditions } from '../run/conditions.ts';
import type { LinkRun } from '../run/run.ts';
import type { Scene } from '../run/scene.ts';
import { isLazy, medianOf } from './floors.ts';

/** Medians of one workload in one mode. */
export interface SizeDatum {
  readonly workload: string;
  readonly mode: string;
  readonly imageMegabytes: number;
  readonly seconds: number;
  /** Of a lazy mode: bytes fetched until ready / compressed bytes of the image. */
  readonly share?: number;
  /** Of a lazy mode: its time / the baseline's. Above 1 it does not pay. */
  readonly relative?: number;
}

export interface Crossover {
  readonly mode: string;
  /** From this share of the image on, the fitted line is above the baseline. */
  readonly share: number;
}

const axisWidth = 62;
const gap = 18;
const width = Math.floor((roomWidth - 2 * axisWidth - gap - 10) / 2);
const maxNames = 8;
const minPointsForLine = 4;
/** How far beyond the highest share that was measured a line says anything. */
const maxBeyond = 1.25;

/** Start time against the size of the image and, relative to the baseline, against the share that was read. */
export function sizeChart({ run, at, theme }: Scene): Chart | undefined {
  const values = sizeData(at);
  if (new Set(values.map((datum) => datum.workload)).size < 3) return undefined;
  const shares = values.filter((datum) => datum.share !== undefined && datum.relative !== undefined);
  const color = colorByMode(run.modes, theme);
  const log = (field: 'imageMegabytes' | 'seconds' | 'share' | 'relative', title: string, format: string) => ({
    ...{ field, type: 'quantitative' as const, scale: { type: 'log' as const, nice: false, padding: 14 } },
    axis: { title, values: ticksOver(values.flatMap((datum) => datum[field] ?? [])), format },
  });
  const point = { type: 'point' as const, filled: true, size: 44, opacity: 0.9, stroke: theme.paper, strokeWidth: 0.8 };
  const name = { type: 'text' as const, dy: -10, fontSize: 11, color: theme.ink };
  const named = run.workloads.length <= maxNames;
  const names = (data: readonly SizeDatum[], y: keyof SizeDatum, encoding: object) =>
    named
      ? [{ data: { values: highest(data, y) }, mark: name, encoding: { ...encoding, text: { field: 'workload' } } }]
      : [];
  const size = {
    x: log('imageMegabytes', 'image, compressed MB (log)', '~g'),
    y: log('seconds', 'seconds (log)', '~g'),
  };
  const share = {
    x: log('share', 'share of the image fetched (log)', '~%'),
    y: log('relative', 'time relative to legacy (log)', '~g'),
  };
  const crossovers = crossoversOf(shares);
  const plots = [
    {
      ...{ title: 'Time against image size', width, height: 270 },
      layer: [{ data: { values }, mark: point, encoding: { ...size, color } }, ...names(values, 'seconds', size)],
    },
    ...(shares.length === 0
      ? []
      : [
          {
            ...{ title: 'Time relative to legacy against the share read', width, height: 270 },
            layer: [
              {
                data: { values: [{ relative: 1 }] },
                mark: { type: 'rule', color: theme.quietInk, strokeDash: [4, 3], strokeWidth: 1.5 },
                encoding: { y: share.y },
              },
              {
                data: { values: linesThrough(shares) },
                mark: { type: 'line', strokeWidth: 1.4, opacity: 0.7 },
                encoding: { ...share, color },
              },
              { data: { values: shares }, mark: point, encoding: { ...share, color } },
              ...names(shares, 'relative', share),
            ],
          },
        ]),
  ];
  const words = crossovers.map(({ mode, share }) => `${mode} stops paying at about ${Math.round(share * 100)} %`);
  return {
    name: 'size',
    title: 'What the size and the share read come to',
    subtitle: `${describeConditions(at)}; medians${words.length > 0 ? `; ${words.join(', ')} read` : shares.length > 0 ? '; dashed: as slow as legacy' : ''}`,
    description: `Median total against image size, and relative to legacy against the share read. ${words.join('; ')}`,
    ...describeAround(run),
    spec: specOf({ config: configOf(theme), hconcat: plots, spacing: gap, resolve: { scale: { color: 'shared' } } }),
  };
}

export function sizeData({ groups }: LinkRun): readonly SizeDatum[] {
  return groups.flatMap((group): SizeDatum[] => {
    const { workload, mode, totalMs } = group;
    const imageBytes = medianOf(group, (sample) => sample.imageBytes);
    if (totalMs === undefined || !imageBytes || mode.includes('+')) return [];
    const datum = { workload, mode, imageMegabytes: imageBytes / 1e6, seconds: median(totalMs) / 1000 };
    if (!isLazy(group) || !group.imageShare || !group.speedUp) return [datum];
    return [{ ...datum, share: group.imageShare, relative: 1 / group.speedUp }];
  });
}

/** Where the line through a mode's workloads reaches the baseline, if that is among the shares that were measured, or not far from them. */
export function crossoversOf(values: readonly SizeDatum[]): readonly Crossover[] {
  return fits(values).flatMap(({ mode, line, lowest, highest }) => {
    const share = Math.exp(-line.intercept / line.slope);
    return line.slope > 0 && share >= lowest && share <= Math.min(1, highest * maxBeyond) ? [{ mode, share }] : [];
  });
}

/** The fitted lines, each from its lowest to its highest share. */
function linesThrough(values: readonly SizeDatum[]) {
  return fits(values).flatMap(({ mode, line, lowest, highest }) =>
    [lowest, highest].map((share) => ({
      mode,
      share,
      relative: Math.exp(line.intercept + line.slope * Math.log(share)),
    })),
  );
}

interface Fit {
  readonly mode: string;
  readonly line: Line;
  readonly lowest: number;
  readonly highest: number;
}

function fits(values: readonly SizeDatum[]): readonly Fit[] {
  return [...Map.groupBy(values, (datum) => datum.mode)].flatMap(([mode, own]): Fit[] => {
    const line = fitLine(own.map(({ share, relative }) => ({ x: Math.log(share!), y: Math.log(relative!) })));
    if (line === undefined || own.length < minPointsForLine) return [];
    const shares = own.map(({ share }) => share!);
    return [{ mode, line, lowest: Math.min(...shares), highest: Math.max(...shares) }];
  });
}

/** Of each workload the highest point, which bears its name. */
function highest(values: readonly SizeDatum[], y: keyof SizeDatum): readonly SizeDatum[] {
  const byWorkload = Map.groupBy(values, (datum) => datum.workload);
  return [...byWorkload.values()].map((own) => own.toSorted((one, other) => Number(other[y]) - Number(one[y]))[0]!);
}
