import { verdicts } from '../../measurements/comparison.ts';
import type { Chart } from '../drawing/chart.ts';
import { specOf } from '../drawing/multiples.ts';
import { configOf, longest, roomWidth, textWidth, type Theme } from '../drawing/theme.ts';
import { describeChanges } from '../run/changes.ts';
import { linkName } from '../run/run.ts';
import type { ComparedRuns } from './comparison.ts';

/** The change of each row with its interval, the largest slowdown first. Undefined where no row has a change. */
export function changesChart(compared: ComparedRuns, theme: Theme): Chart | undefined {
  const { changes, base, head } = compared;
  const links = new Set(changes.map(linkName));
  const values = changes
    .flatMap((change) => {
      const { workload, mode, total } = change;
      if (total === undefined) return [];
      const { ratio, ratioInterval, verdict } = total;
      const name = `${workload} ${mode}${links.size > 1 ? `, ${linkName(change)}` : ''}`;
      return [{ name, ratio, low: ratioInterval?.low, high: ratioInterval?.high, verdict }];
    })
    .sort((one, other) => other.ratio - one.ratio);
  if (values.length === 0) return undefined;
  const names = values.map(({ name }) => name);
  const reach = values.flatMap(({ ratio, low = ratio, high = ratio }) => [low, high, 1 / 1.05, 1.05]);
  const domain = [Math.min(...reach) / 1.02, Math.max(...reach) * 1.02];
  const x = {
    ...{ field: 'ratio', type: 'quantitative', scale: { type: 'log', nice: false, domain } },
    axis: { title: 'after / before (log)', tickCount: 8, labelExpr: "format(datum.value - 1, '+.0%')" },
  };
  const y = {
    ...{ field: 'name', type: 'nominal', sort: names },
    axis: { title: null, ticks: false, labelColor: theme.ink, labelLimit: 360, grid: false },
  };
  const { modeColors } = theme;
  const words = verdicts.filter((word) => values.some(({ verdict }) => verdict === word));
  const colors = {
    ...{ faster: modeColors.zstdchunked, slower: theme.bad },
    ...{ 'no difference shown': theme.quietInk, 'too few samples': modeColors.stargz },
  };
  const color = {
    ...{ field: 'verdict', type: 'nominal' },
    scale: { domain: words, range: words.map((word) => colors[word]) },
    legend: { title: null, orient: 'top', direction: 'horizontal', symbolType: 'circle', symbolOpacity: 1, offset: 10 },
  };
  const labels = Math.min(360, textWidth(longest(names))) + 12;
  const spec = specOf({
    config: configOf(theme),
    // The label of a tick at the right edge is wider than Vega takes it for.
    padding: { left: 4, top: 2, right: 14, bottom: 6 },
    data: { values },
    ...{ width: roomWidth - labels - 36, height: values.length * 18 },
    layer: [
      {
        data: { values: [{ ratio: 1 }] },
        mark: { type: 'rule', color: theme.quietInk, strokeDash: [4, 3] },
        encoding: { x },
      },
      {
        transform: [{ filter: 'isValid(datum.low)' }],
        mark: { type: 'rule', strokeWidth: 3, opacity: 0.45 },
        encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' }, y, color },
      },
      { mark: { type: 'point', filled: true, size: 46, opacity: 1 }, encoding: { x, y, color } },
    ],
  });
  return {
    name: 'changes',
    title: 'What changed',
    subtitle: 'total from pull to ready; dots: the change, bars: its 95 % interval',
    description:
      `${describeChanges(compared)}; ${values.map(({ name, verdict }) => `${name}: ${verdict}`).join('; ')}`.slice(
        0,
        600,
      ),
    origin: `${base.environment.commit?.slice(0, 7) ?? 'no commit'} to ${head.environment.commit?.slice(0, 7) ?? 'no commit'}`,
    caption: `npm run report -- ${base.path} ${head.path}`,
    spec,
  };
}
