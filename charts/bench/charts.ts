import type { Chart } from '../drawing/chart.ts';
import type { Scene } from '../run/scene.ts';
import { daemonChart } from './daemon.ts';
import { ecdfChart } from './ecdf.ts';
import { intervalsChart } from './intervals.ts';
import { phasesChart } from './phases.ts';
import { relativeChart } from './relative.ts';
import { secondRunsChart } from './second-runs.ts';
import { sizeChart } from './size.ts';
import { bandwidthChart, rttChart } from './sweep.ts';
import { timelineChart } from './timeline.ts';
import { wireChart } from './wire.ts';

/** The charts of a run of `bench`, by name, in the order in which the report shows them. Each is undefined where its data are not there. */
export const benchCharts: Readonly<Record<string, (scene: Scene) => Chart | undefined>> = {
  phases: phasesChart,
  relative: relativeChart,
  intervals: intervalsChart,
  ecdf: ecdfChart,
  rtt: rttChart,
  bandwidth: bandwidthChart,
  size: sizeChart,
  'second-runs': secondRunsChart,
  wire: wireChart,
  daemon: daemonChart,
  timeline: timelineChart,
};
