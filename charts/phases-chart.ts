import type { TopLevelSpec } from 'vega-lite';
import { formatRatio, formatSeconds } from '../measurements/format.ts';
import { describeConditions, describeOrigin, reproduction } from './conditions.ts';
import type { Run } from './run.ts';
import type { Chart } from './render.ts';
import { config, framePadding, frameWidth, ink, labelsBelow, phaseColors } from './theme.ts';

/** One mark: a segment of a bar, a sample, or the text above a bar. */
export interface PhaseDatum {
  readonly kind: 'phase' | 'sample' | 'total' | 'failed';
  readonly workload: string;
  readonly mode: string;
  readonly seconds: number;
  readonly phase?: 'pull' | 'create' | 'run';
  readonly phaseOrder?: number;
  readonly label?: string;
  readonly speedUp?: string;
}

const phases = ['pull', 'create', 'run'] as const;
const facetSpacing = 18;
const axisWidth = 52;
const maxColumns = 4;
/** The seconds above a bar need it. */
const minBandWidth = 50;

/** Pull, create and run of the middle sample, stacked per mode and grouped by workload; every sample as a dot. */
export function phasesChart(run: Run): Chart {
  const { length: modeCount } = run.modes;
  const space = frameWidth - 2 * framePadding - axisWidth;
  const fitting = Math.max(1, Math.floor((space + facetSpacing) / (modeCount * minBandWidth + facetSpacing)));
  const columns = Math.min(maxColumns, run.workloads.length, fitting);
  const room = space - facetSpacing * (columns - 1);
  const width = Math.min(Math.max(380, modeCount * minBandWidth), Math.floor(room / columns));
  // Headroom for two lines of text above the highest bar.
  const highest = Math.max(0, ...run.groups.map((group) => (group.samples.at(-1)?.totalMs ?? 0) / 1000));
  const y = { field: 'seconds', type: 'quantitative' as const, scale: { domain: [0, highest * 1.15 || 1] } };
  const x = {
    field: 'mode',
    type: 'nominal',
    sort: [...run.modes],
    axis: { title: null, ticks: false, labelColor: ink, ...labelsBelow(run.modes, width / modeCount) },
  } as const;
  const label = { type: 'text', baseline: 'bottom', color: ink } as const;
  const spec: TopLevelSpec = {
    config,
    data: { values: phaseData(run) as PhaseDatum[] },
    columns,
    spacing: { column: facetSpacing, row: 28 },
    facet: {
      field: 'workload',
      type: 'nominal',
      sort: [...run.workloads],
      header: { labelAnchor: 'start', labelPadding: 8 },
    },
    spec: {
      width,
      height: 300,
      layer: [
        {
          transform: [{ filter: "datum.kind === 'phase'" }],
          mark: { type: 'bar', width: { band: 0.62 } },
          encoding: {
            x,
            y: { ...y, stack: 'zero', axis: { title: 'seconds', tickCount: 6 } },
            color: {
              field: 'phase',
              type: 'nominal',
              scale: { domain: [...phases], range: phases.map((phase) => phaseColors[phase]) },
              legend: { title: null, orient: 'top', direction: 'horizontal', symbolType: 'square', offset: 14 },
            },
            order: { field: 'phaseOrder', type: 'quantitative' },
          },
        },
        {
          transform: [{ filter: "datum.kind === 'sample'" }],
          mark: { type: 'point', filled: true, size: 26, color: ink, opacity: 0.75, stroke: 'white', strokeWidth: 0.8 },
          encoding: { x, y },
        },
        {
          transform: [{ filter: "datum.kind === 'total'" }],
          mark: { ...label, dy: -7, fontSize: 12.5, fontWeight: 600 },
          encoding: { x, y, text: { field: 'label' } },
        },
        {
          transform: [{ filter: "datum.kind === 'total'" }],
          mark: { ...label, dy: -23, fontSize: 12.5, color: '#00649c', fontWeight: 600 },
          encoding: { x, y, text: { field: 'speedUp' } },
        },
        {
          transform: [{ filter: "datum.kind === 'failed'" }],
          mark: { ...label, dy: -7, fontSize: 11.5, color: '#b3261e' },
          encoding: { x, y, text: { field: 'label' } },
        },
      ],
    },
  };
  return {
    name: 'phases',
    title: 'From pull to ready',
    subtitle: `${describeConditions(run)}; bars: the middle sample, dots: every sample, ×: ${describeBaseline(run)}`,
    origin: describeOrigin(run),
    caption: reproduction(run),
    description: describeGroups(run),
    spec,
  };
}

/** The chart's data: values of single samples, no means. */
export function phaseData(run: Run): readonly PhaseDatum[] {
  return run.groups.flatMap((group): PhaseDatum[] => {
    const { workload, mode, middle, samples } = group;
    if (middle === undefined)
      return [{ kind: 'failed', workload, mode, seconds: 0, label: `${group.failedCount} failed` }];
    const durations = { pull: middle.pullMs, create: middle.createMs, run: middle.runMs };
    const top = samples.at(-1)!.totalMs / 1000;
    return [
      ...phases.map((phase, phaseOrder) => ({
        kind: 'phase' as const,
        workload,
        mode,
        phase,
        phaseOrder,
        seconds: durations[phase] / 1000,
      })),
      ...samples.map((sample) => ({ kind: 'sample' as const, workload, mode, seconds: sample.totalMs / 1000 })),
      {
        kind: 'total',
        workload,
        mode,
        seconds: top,
        label: `${formatSeconds(middle.totalMs)} s`,
        speedUp: formatRatio(group.speedUp),
      },
    ];
  });
}

function describeBaseline({ modes }: Run): string {
  return `speed-up over legacy${modes.some((mode) => mode.includes('+')) ? ", of a second run over legacy's" : ''}`;
}

function describeGroups(run: Run): string {
  return run.groups
    .flatMap(({ workload, mode, middle }) =>
      middle ? [`${workload} ${mode}: ${formatSeconds(middle.totalMs)} s`] : [],
    )
    .join('; ');
}
