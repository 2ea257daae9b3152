import type { Chart } from '../drawing/chart.ts';
import { describeAround, describeConditions } from '../run/conditions.ts';
import type { Scene } from '../run/scene.ts';
import { dotRows, type Metric } from './dot-rows.ts';

export const wireMetrics: readonly Metric[] = [
  { title: 'MB on the wire', read: ({ medianWireBytes }) => medianWireBytes && medianWireBytes / 1e6 },
  { title: 'requests', read: ({ medianWireRequests }) => medianWireRequests },
];

/** Bytes and requests that crossed the link until the workload was ready. */
export function wireChart(scene: Scene): Chart | undefined {
  const spec = dotRows(scene, wireMetrics);
  if (spec === undefined) return undefined;
  return {
    name: 'wire',
    title: 'Bytes and requests until ready',
    subtitle: `${describeConditions(scene.at)}; medians, from the registry to the client`,
    description: 'Bytes on the wire and requests per workload and mode',
    ...describeAround(scene.run),
    spec,
  };
}
