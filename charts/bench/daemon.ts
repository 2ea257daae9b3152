import { maximum, sortSamples } from '../../measurements/stats/median.ts';
import type { Chart } from '../drawing/chart.ts';
import { describeAround, describeConditions } from '../run/conditions.ts';
import type { Scene } from '../run/scene.ts';
import { dotRows, type Metric } from './dot-rows.ts';
import { medianOf } from './floors.ts';

export const daemonMetrics: readonly Metric[] = [
  {
    title: 'snapshotter, highest RSS in MiB',
    read: ({ maxDaemonRssKib }) => maxDaemonRssKib && maxDaemonRssKib / 1024,
  },
  {
    title: 'its keeper or children, highest RSS in MiB',
    read: ({ samples }) => {
      const sorted = sortSamples(samples.flatMap((sample) => sample.keeperRssPeakKib ?? []));
      return sorted && maximum(sorted) / 1024;
    },
  },
  { title: 'snapshotter, CPU seconds', read: (group) => seconds(medianOf(group, (sample) => sample.daemonCpuMs)) },
  { title: 'containerd, CPU seconds', read: (group) => seconds(medianOf(group, (sample) => sample.containerdCpuMs)) },
];

/** Memory and CPU time of the daemons, until the workload was ready. */
export function daemonChart(scene: Scene): Chart | undefined {
  const spec = dotRows(scene, daemonMetrics);
  if (spec === undefined) return undefined;
  return {
    name: 'daemon',
    title: 'What the daemons cost',
    subtitle: `${describeConditions(scene.at)}; memory: the highest of all samples, CPU time: medians`,
    description: 'Memory and CPU time of snapshotter and containerd per workload and mode',
    ...describeAround(scene.run),
    spec,
  };
}

function seconds(durationMs: number | undefined): number | undefined {
  return durationMs && durationMs / 1000;
}
