import { formatRatio, formatSeconds } from '../../measurements/format.ts';
import type { Chart } from '../drawing/chart.ts';
import { facetBy, layOut, specOf } from '../drawing/multiples.ts';
import { configOf, labelWidth, maxLabel, plainNumbers } from '../drawing/theme.ts';
import { describeAround, describeConditions } from '../run/conditions.ts';
import type { LinkRun } from '../run/run.ts';
import type { Scene } from '../run/scene.ts';

/** One mark: a segment of a bar, a sample, or the text behind a bar. */
export interface PhaseDatum {
  /** `room`: nothing that is seen; it leaves the text its place where each plot has a scale of its own. */
  readonly kind: 'phase' | 'sample' | 'total' | 'failed' | 'room';
  readonly workload: string;
  readonly mode: string;
  readonly seconds: number;
  readonly phase?: 'pull' | 'create' | 'run';
  readonly phaseOrder?: number;
  readonly label?: string;
  readonly speedUp?: string;
}

const phases = ['pull', 'create', 'run'] as const;
/** Of the seconds and the speed-up behind a bar. */
const endWidth = 88;

/** Pull, create and run of the middle sample, stacked; a row per mode, a plot per workload; every sample as a dot. */
export function phasesChart({ run, at, theme }: Scene): Chart | undefined {
  if (at.groups.every((group) => group.middle === undefined)) return undefined;
  const workloads = run.workloads.filter((workload) => at.groups.some((group) => group.workload === workload));
  const layout = layOut(workloads.length, labelWidth(run.modes));
  const room = layout.width / (layout.width - endWidth);
  // Dozens of workloads span so much that most bars would be no more than a line on one scale.
  const ownScales = workloads.length > 12;
  const values = phaseData(at);
  const highest = Math.max(...values.map((datum) => datum.seconds));
  const x = {
    ...{ field: 'seconds', type: 'quantitative' as const },
    scale: ownScales ? { domainMin: 0, nice: false } : { domain: [0, highest * room || 1], nice: false },
    axis: ownScales ? null : { title: 'seconds', tickCount: 5, labelExpr: plainNumbers },
  };
  const y = {
    ...{ field: 'mode', type: 'nominal' as const, sort: [...run.modes] },
    axis: { title: null, ticks: false, labelColor: theme.ink, labelLimit: maxLabel, grid: false },
  };
  const label = { type: 'text', align: 'left', baseline: 'middle', fontSize: 11.5 } as const;
  const dense = run.modes.length > 4 || ownScales;
  const only = (kind: PhaseDatum['kind']) => [{ filter: `datum.kind === '${kind}'` }];
  const spec = specOf({
    config: configOf(theme),
    data: { values: ownScales ? [...values, ...roomFor(values, room)] : values },
    ...facetBy('workload', workloads, layout, ownScales ? 14 : 22),
    ...(ownScales ? { resolve: { scale: { x: 'independent' } } } : {}),
    spec: {
      width: layout.width,
      height: run.modes.length * (dense ? 17 : 25),
      layer: [
        {
          transform: only('phase'),
          mark: { type: 'bar', height: { band: 0.7 } },
          encoding: {
            ...{ x: { ...x, stack: 'zero' }, y, order: { field: 'phaseOrder', type: 'quantitative' } },
            color: {
              ...{ field: 'phase', type: 'nominal' },
              scale: { domain: [...phases], range: phases.map((phase) => theme.phaseColors[phase]) },
              legend: { title: null, orient: 'top', direction: 'horizontal', symbolType: 'square', offset: 10 },
            },
          },
        },
        {
          transform: only('sample'),
          mark: {
            type: 'point',
            filled: true,
            size: dense ? 9 : 14,
            color: theme.ink,
            opacity: 0.8,
            stroke: theme.paper,
            strokeWidth: 0.7,
          },
          encoding: { x, y },
        },
        {
          transform: only('total'),
          mark: { ...label, dx: 7, color: theme.ink, fontWeight: 600 },
          encoding: { x, y, text: { field: 'label' } },
        },
        {
          transform: only('total'),
          mark: { ...label, dx: 52, color: theme.accent, fontWeight: 600 },
          encoding: { x, y, text: { field: 'speedUp' } },
        },
        { transform: only('room'), mark: { type: 'point', opacity: 0 }, encoding: { x, y } },
        {
          transform: only('failed'),
          mark: { ...label, dx: 4, color: theme.bad },
          encoding: { x, y, text: { field: 'label' } },
        },
      ],
    },
  });
  return {
    name: 'phases',
    title: 'From pull to ready',
    subtitle: ownScales
      ? `${describeConditions(at)}; middle samples, each workload on its own scale; ×: ${describeBaseline(at)}`
      : `${describeConditions(at)}; bars: the middle sample, dots: every sample, ×: ${describeBaseline(at)}`,
    description: describeGroups(at),
    ...describeAround(run),
    spec,
  };
}

/** The chart's data: values of single samples, no means. */
export function phaseData({ groups }: LinkRun): readonly PhaseDatum[] {
  return groups.flatMap((group): PhaseDatum[] => {
    const { workload, mode, middle, samples } = group;
    if (middle === undefined)
      return [{ kind: 'failed', workload, mode, seconds: 0, label: `${group.failedCount} failed` }];
    const durations = { pull: middle.pullMs, create: middle.createMs, run: middle.runMs };
    return [
      ...phases.map((phase, phaseOrder) => ({
        ...{ kind: 'phase' as const, workload, mode, phase, phaseOrder },
        seconds: durations[phase] / 1000,
      })),
      ...samples.map((sample) => ({ kind: 'sample' as const, workload, mode, seconds: sample.totalMs / 1000 })),
      {
        ...{ kind: 'total', workload, mode, seconds: samples.at(-1)!.totalMs / 1000 },
        label: `${formatSeconds(middle.totalMs)} s`,
        speedUp: formatRatio(group.speedUp),
      },
    ];
  });
}

function roomFor(values: readonly PhaseDatum[], room: number): readonly PhaseDatum[] {
  return [...Map.groupBy(values, (datum) => datum.workload)].map(([workload, own]) => {
    const highest = Math.max(...own.map((datum) => datum.seconds));
    return { kind: 'room', workload, mode: own[0]!.mode, seconds: highest * room || 1 };
  });
}

function describeBaseline({ groups }: LinkRun): string {
  return `speed-up over legacy${groups.some(({ mode }) => mode.includes('+')) ? ", of a second run over legacy's" : ''}`;
}

function describeGroups({ groups }: LinkRun): string {
  return groups
    .flatMap(({ workload, mode, middle }) =>
      middle ? [`${workload} ${mode}: ${formatSeconds(middle.totalMs)} s`] : [],
    )
    .join('; ');
}
