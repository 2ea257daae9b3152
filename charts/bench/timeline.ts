import { formatMegabytes, formatSeconds } from '../../measurements/format.ts';
import { isSameLink } from '../../measurements/summary.ts';
import type { Chart } from '../drawing/chart.ts';
import { specOf } from '../drawing/multiples.ts';
import { configOf, type RequestName, requestNames, roomWidth, type Theme } from '../drawing/theme.ts';
import { describeAround } from '../run/conditions.ts';
import { sampleLinkOf } from '../run/run.ts';
import type { Scene } from '../run/scene.ts';
import { panelOf, type StartPanel } from './timeline-panel.ts';

/** More plots would be a picture that nobody reads to its end; the report shows the other workloads by its filter. */
const maxPlots = 36;
/** Of the names of the strips, at the left of a plot. */
const labelsWidth = 64;
const columnGap = 26;
const phases = ['pull', 'create', 'run'] as const;

/** One traced start of each workload in each mode: requests, bytes and misses over time, to the moment of ready. Undefined without a timeline. */
export function timelineChart({ run, at, theme }: Scene): Chart | undefined {
  const link = sampleLinkOf(at);
  const here = run.timeline.filter((event) => isSameLink(event, link));
  const traced = run.workloads.filter((workload) => here.some((event) => event.workload === workload));
  const workloads = traced.slice(0, Math.max(1, Math.floor(maxPlots / run.modes.length)));
  const columns = Math.min(2, workloads.length);
  const width = Math.floor((roomWidth - columnGap * (columns - 1)) / columns) - labelsWidth - 6;
  const missing = new Set(here.flatMap(({ kind, mode }) => (kind === 'miss' ? mode : [])));
  const starts = workloads.map((workload) => ({
    workload,
    panels: run.modes.flatMap((mode) => {
      const own = here.filter((event) => event.workload === workload && event.mode === mode);
      return panelOf(mode, own, { width, withMisses: missing.has(mode) }) ?? [];
    }),
  }));
  if (starts.every(({ panels }) => panels.length === 0)) return undefined;
  const names = requestNames.filter((name) =>
    starts.some(({ panels }) => panels.some(({ requests }) => requests.some((bar) => bar.name === name))),
  );
  const shared = { resolve: { scale: { color: 'shared', fill: 'shared' } } };
  const config = configOf(theme);
  // Beside one another they would be wider than the picture.
  const direction = names.length > 5 ? 'vertical' : 'horizontal';
  const spec = specOf({
    config: { ...config, legend: { ...config.legend, layout: { top: { direction, margin: 26 } } } },
    ...{ columns, spacing: { column: columnGap, row: 34 }, ...shared },
    concat: starts.map(({ workload, panels }) => ({
      title: { text: workload, fontSize: 14, offset: 8, limit: width },
      ...{ spacing: 14, ...shared },
      vconcat: panels.map((panel) => plotOf(panel, { width, names, theme })),
    })),
  });
  const left = traced.length - workloads.length;
  return {
    name: 'timeline',
    title: 'One start over time',
    subtitle: [
      at.link === undefined ? '' : at.name,
      'one traced start of each, no sample, slowed by the tracing',
      'each on its own scale',
      'pale: waiting for the first byte',
      ...(left === 0 ? [] : [`${left} more workloads in report.html`]),
    ]
      .filter((part) => part !== '')
      .join('; '),
    description: starts
      .flatMap(({ workload, panels }) => panels.map((panel) => `${workload} ${panel.mode}: ${factsOf(panel)}`))
      .join('; '),
    ...describeAround(run),
    spec,
  };
}

interface PlotSetting {
  readonly width: number;
  /** Of the requests in the whole picture. */
  readonly names: readonly RequestName[];
  readonly theme: Theme;
}

function plotOf(panel: StartPanel, { width, names, theme }: PlotSetting) {
  const { height, strips, readySeconds, endSeconds } = panel;
  const legend = (title: string) => ({
    ...{ title, titleOrient: 'left', titlePadding: 10, orient: 'top', direction: 'horizontal', offset: 10 },
    ...{ symbolType: 'square', symbolOpacity: 1, columns: 0, gridAlign: 'none', columnPadding: 12 },
  });
  const x = {
    ...{ field: 'from', type: 'quantitative', scale: { domain: [0, endSeconds], nice: false } },
    axis: { title: null, tickCount: 5, labelExpr: "format(datum.value, '~g') + ' s'", labelFlush: 20 },
  };
  const labels = strips.map(({ name, center }) => `abs(datum.value - ${center}) < 0.01 ? '${name}'`).join(' : ');
  const y = {
    ...{ field: 'top', type: 'quantitative', scale: { domain: [height, 0], nice: false } },
    axis: {
      ...{ title: null, grid: false, ticks: false, values: strips.map(({ center }) => center) },
      ...{ labelExpr: `${labels} : ''`, labelFontSize: 11 },
    },
  };
  const box = { x, x2: { field: 'to' }, y, y2: { field: 'bottom' } };
  const requestColors = { domain: [...names], range: names.map((name) => theme.requestColors[name]) };
  return {
    title: {
      ...{
        text: panel.mode,
        subtitle: factsOf(panel),
        anchor: 'start',
        frame: 'group',
        offset: 6,
        limit: width,
      },
      ...{ fontSize: 12.5, subtitleFontSize: 11, subtitleColor: theme.quietInk, subtitlePadding: 3 },
    },
    ...{ width, height },
    layer: [
      {
        data: { values: panel.phases },
        mark: { type: 'rect', clip: true },
        encoding: {
          ...box,
          fill: {
            ...{ field: 'phase', type: 'nominal', legend: legend('phases') },
            scale: { domain: [...phases], range: phases.map((phase) => theme.phaseColors[phase]) },
          },
        },
      },
      ...[0.32, 1].map((opacity) => ({
        data: { values: panel.requests.filter(({ isWaiting }) => isWaiting === opacity < 1) },
        mark: { type: 'rect', clip: true, opacity },
        encoding: {
          ...box,
          color: { field: 'name', type: 'nominal', scale: requestColors, legend: legend('requests') },
        },
      })),
      {
        data: { values: panel.misses },
        mark: { type: 'rect', clip: true, color: theme.bad, opacity: 0.35 },
        encoding: box,
      },
      {
        data: { values: panel.misses },
        mark: { type: 'rule', clip: true, color: theme.bad, strokeWidth: 1.2 },
        encoding: { x, y, y2: { field: 'bottom' } },
      },
      {
        data: { values: panel.bytes },
        mark: { type: 'area', clip: true, color: theme.accent, opacity: 0.16 },
        encoding: { x, y, y2: { field: 'bottom' } },
      },
      {
        data: { values: panel.bytes },
        mark: { type: 'line', clip: true, color: theme.accent, strokeWidth: 1.5 },
        encoding: { x, y },
      },
      {
        data: { values: [{ from: readySeconds, top: -4, bottom: height }] },
        mark: { type: 'rule', color: theme.ink, strokeWidth: 1.4 },
        encoding: { x, y, y2: { field: 'bottom' } },
      },
      {
        data: { values: [{ from: readySeconds, top: -4 }] },
        mark: {
          type: 'text',
          text: 'ready',
          align: 'right',
          baseline: 'bottom',
          fontSize: 11,
          dx: 2,
          color: theme.ink,
        },
        encoding: { x, y },
      },
    ],
  };
}

/** `ready in 0.84 s, 57 requests, 31.2 MB, 9 misses` */
function factsOf({ readySeconds, requestCount, totalBytes, missCount }: StartPanel): string {
  return [
    `ready in ${formatSeconds(readySeconds * 1000)} s`,
    ...(requestCount === 0 ? [] : [requestCount === 1 ? '1 request' : `${requestCount} requests`]),
    ...(totalBytes === undefined ? [] : [`${formatMegabytes(totalBytes)} MB`]),
    ...(missCount === 0 ? [] : [missCount === 1 ? '1 miss' : `${missCount} misses`]),
  ].join(', ');
}
