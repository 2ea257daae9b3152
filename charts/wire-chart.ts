import type { TopLevelSpec } from 'vega-lite';
import { describeConditions, describeOrigin, reproduction } from './conditions.ts';
import type { Run } from './run.ts';
import type { Chart } from './render.ts';
import { colorByMode, config, framePadding, frameWidth, ink, logTicks, quietInk } from './theme.ts';

export interface WireDatum {
  readonly kind: 'sample' | 'name' | 'line';
  readonly imageMegabytes: number;
  readonly wireMegabytes: number;
  readonly mode?: string;
  readonly workload?: string;
  /** Bytes on the wire / size of the image. */
  readonly share?: number;
  readonly label?: string;
}

const shares = [1, 0.3, 0.1, 0.03, 0.01];

/** Bytes on the wire against the size of the image. Undefined if no sample has both. */
export function wireChart(run: Run): Chart | undefined {
  const values = wireData(run);
  if (values.length === 0) return undefined;
  const samples = values.filter((datum) => datum.kind === 'sample');
  const extent = (pick: (datum: WireDatum) => number) => [
    Math.min(...samples.map(pick)) / 1.35,
    Math.max(...samples.map(pick)) * 1.5,
  ];
  const xDomain = extent((datum) => datum.imageMegabytes);
  const yDomain = extent((datum) => datum.wireMegabytes);
  const x = {
    field: 'imageMegabytes',
    type: 'quantitative' as const,
    scale: { type: 'log' as const, domain: xDomain, nice: false },
    axis: { title: 'image, compressed MB (log)', values: logTicks([1, 1.5, 2, 3, 4, 5, 7]), format: '~g' },
  };
  const y = {
    field: 'wireMegabytes',
    type: 'quantitative' as const,
    scale: { type: 'log' as const, domain: yDomain, nice: false },
    axis: { title: 'on the wire, MB (log)', values: logTicks([1, 2, 5]), format: '~g' },
  };
  const spec: TopLevelSpec = {
    config,
    width: frameWidth - 2 * framePadding - 90,
    height: 320,
    data: { values: [...values, ...shareLines(xDomain, yDomain)] },
    layer: [
      {
        transform: [{ filter: "datum.kind === 'line'" }],
        mark: { type: 'line', strokeDash: [3, 4], strokeWidth: 1, color: '#b6bcc4' },
        encoding: { x, y, detail: { field: 'share' } },
      },
      {
        transform: [{ filter: "datum.kind === 'line' && isValid(datum.label)" }],
        mark: { type: 'text', align: 'left', dx: 6, fontSize: 11, color: quietInk },
        encoding: { x, y, text: { field: 'label' } },
      },
      {
        transform: [{ filter: "datum.kind === 'sample'" }],
        mark: { type: 'point', filled: true, size: 60, opacity: 0.85, stroke: 'white', strokeWidth: 0.8 },
        encoding: {
          x,
          y,
          color: colorByMode(run.modes),
        },
      },
      {
        transform: [{ filter: "datum.kind === 'name'" }],
        mark: { type: 'text', dy: -12, baseline: 'bottom', fontSize: 12, color: ink },
        encoding: { x, y, text: { field: 'label' } },
      },
    ],
  };
  return {
    name: 'wire',
    title: 'Bytes on the wire against image size',
    subtitle: `${describeConditions(run)}; dots: every sample, dashed: share of the image`,
    origin: describeOrigin(run),
    caption: reproduction(run),
    description: 'Bytes that crossed the link against the compressed size of the image, one dot per sample',
    spec,
  };
}

export function wireData(run: Run): readonly WireDatum[] {
  const dots = run.groups.flatMap(({ workload, mode, samples }) =>
    samples.flatMap(({ imageBytes, wireBytes }): WireDatum[] => {
      if (!imageBytes || !wireBytes) return [];
      const megabytes = { imageMegabytes: imageBytes / 1e6, wireMegabytes: wireBytes / 1e6 };
      return [{ kind: 'sample', workload, mode, ...megabytes, share: wireBytes / imageBytes }];
    }),
  );
  const names = run.workloads.flatMap((workload): WireDatum[] => {
    const own = dots.filter((dot) => dot.workload === workload);
    const highest = own.toSorted((one, other) => other.wireMegabytes - one.wireMegabytes)[0];
    return highest === undefined ? [] : [{ ...highest, kind: 'name', label: workload }];
  });
  return [...dots, ...names];
}

/** Lines of equal share, clipped to the plot and labelled at the right. */
function shareLines(xDomain: readonly number[], yDomain: readonly number[]): WireDatum[] {
  const [xLow = 1, xHigh = 1] = xDomain;
  const [yLow = 1, yHigh = 1] = yDomain;
  return shares.flatMap((share): WireDatum[] => {
    const from = Math.max(xLow, yLow / share);
    const to = Math.min(xHigh, yHigh / share);
    if (from >= to) return [];
    const point = (imageMegabytes: number) => ({
      kind: 'line' as const,
      share,
      imageMegabytes,
      wireMegabytes: imageMegabytes * share,
    });
    return [point(from), { ...point(to), label: `${share * 100} %` }];
  });
}
