import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, environmentSchema, type LinkSetting } from '../../measurements/environment.ts';
import { buildSample, type Sample, sampleColumns } from '../../measurements/sample.ts';
import { randomBelow, seededRandom } from '../../measurements/stats/random.ts';
import { stringifyTable } from '../../measurements/table.ts';
import { timelineColumns } from '../../measurements/timeline.ts';
import { syntheticTimeline } from './synthetic-timeline.ts';

/** What a made-up run of `bench` consists of. Its times follow from sizes, links and seeded noise; nothing was measured. */
export interface SyntheticPlan {
  readonly workloads: readonly string[];
  readonly modes: readonly string[];
  readonly links: readonly LinkSetting[];
  readonly samples: number;
  readonly seed?: number;
  readonly runId?: string;
  readonly commit?: string;
  readonly startedAt?: string;
  /** Makes the run phases of one mode that many times as long. */
  readonly slower?: { readonly mode: string; readonly factor: number };
  /** Whether a cell fails. */
  readonly fails?: (cell: { workload: string; mode: string; sample: number }) => boolean;
  /** Whether it has a timeline, too. */
  readonly isTraced?: boolean;
}

/** The 43 workloads of this project, as they are named. */
export const manyWorkloads: readonly string[] = [
  ...['python', 'gcc', 'postgres', 'tomcat', 'busybox', 'debian', 'golang', 'haskell', 'java', 'jruby', 'node', 'perl'],
  ...[
    'php',
    'pypy',
    'ruby',
    'rust',
    'r-base',
    'mono',
    'clojure',
    'erlang',
    'rakudo-star',
    'thrift',
    'mariadb',
    'redis',
  ],
  ...['memcached', 'etcd', 'nginx', 'httpd', 'haproxy', 'jetty', 'rabbitmq', 'mosquitto', 'registry', 'wordpress'],
  ...['php-apache', 'django', 'rails', 'nix', 'hello-world', 'numpy', 'pandas', 'torch', 'weights'],
];
export const usualModes: readonly string[] = ['legacy', 'stargz', 'estargz'];
export const tenModes: readonly string[] = [
  ...[
    'legacy',
    'legacy+again',
    'stargz',
    'estargz',
    'estargz+again',
    'estargz-noopt',
    'zstdchunked',
    'erofs',
    'docker',
  ],
  'go-stargz:estargz',
];
export const usualLinks: readonly LinkSetting[] = [{ rttMs: 30, bandwidthMbps: 200 }];
export const gridOfLinks: readonly LinkSetting[] = [0, 10, 30, 100].flatMap((rttMs) =>
  [100, 1000].map((bandwidthMbps) => ({ rttMs, bandwidthMbps })),
);

const categories = ['language', 'database', 'server', 'base', 'ai'];
const shares: Readonly<Record<string, number>> = { stargz: 1.6, estargz: 0.8, 'estargz-noopt': 1.5, zstdchunked: 0.9 };

export function syntheticSamples(plan: SyntheticPlan): Sample[] {
  const { workloads, modes, links, samples, seed = 1, runId = '20260102-030405', startedAt } = plan;
  const random = seededRandom(seed);
  const uniform = (): number => randomBelow(1_000_000, random) / 1e6;
  let order = 0;
  const shapes = workloads.map(() => ({
    bytes: 2e6 * 300 ** uniform(),
    share: 0.02 + 0.5 * uniform() ** 2,
    runMs: 60 + 2500 * uniform() ** 3,
  }));
  return Array.from({ length: samples }, (_, index) => index + 1).flatMap((sample) =>
    links.flatMap((link) =>
      workloads.flatMap((workload, at) =>
        modes.map((mode) => {
          const { bytes, share, runMs } = shapes[at]!;
          const [variant = ''] = (mode.split(':')[1] ?? mode).split('+');
          const fetched = Math.min(1, share * (shares[variant] ?? 0));
          const isLazy = fetched > 0;
          const again = mode.includes('+');
          const wireBytes = Math.round((isLazy ? fetched * bytes : bytes) * (again ? 0.01 : 1.002));
          const requests = isLazy ? Math.round(12 + (fetched * bytes) / 4e5) : 14;
          const noise = 0.97 + 0.06 * uniform() + (uniform() < 0.04 ? 0.2 : 0);
          const transferMs = ((wireBytes * 8) / ((link.bandwidthMbps ?? 10_000) * 1e6)) * 1000;
          const unpackMs = isLazy || again ? 0 : bytes / 60_000;
          const slower = plan.slower?.mode === mode ? plan.slower.factor : 1;
          const peer = mode.includes(':') && !mode.startsWith('base:') ? 1.4 : 1;
          const identity = {
            ...{ runId, sample, order: ++order, workload, mode, rttMs: link.rttMs, bandwidthMbps: link.bandwidthMbps },
            startedAt: startedAt ?? '2026-01-02T03:04:05.000Z',
          };
          const observed = {
            ...{
              image: `${workload}:${variant}`,
              mount: isLazy ? 'erofs' : 'overlayfs',
              wireBytes,
              wireRequests: requests,
            },
            ...{
              snapshotter: isLazy ? 'stargz' : 'overlayfs',
              layers: 6,
              lazyLayers: isLazy ? 6 : 0,
              imageBytes: Math.round(bytes),
            },
            containerdCpuMs: Math.round(40 + bytes / 40_000),
            ...(isLazy
              ? {
                  daemonRssPeakKib: Math.round(150_000 + 30_000 * uniform()),
                  keeperRssPeakKib: 53_000,
                  daemonCpuMs: Math.round(900 + requests * 9),
                }
              : {}),
          };
          if (plan.fails?.({ workload, mode, sample }) === true)
            return buildSample(identity, { ...observed, ok: false, error: 'not ready within 60 s' });
          return buildSample(identity, {
            ...{ ...observed, ok: true as const, createMs: 8 + 10 * uniform() },
            pullMs:
              peer *
              noise *
              ((isLazy ? 250 : 60) + link.rttMs * 6 + (isLazy ? transferMs * 0.3 : transferMs + unpackMs)),
            runMs: peer * slower * noise * (runMs + (isLazy ? transferMs * 0.7 + link.rttMs * requests * 0.15 : 0)),
          });
        }),
      ),
    ),
  );
}

export function syntheticEnvironment(plan: SyntheticPlan): Environment {
  const { workloads, modes, samples, seed = 1, runId = '20260102-030405', commit, startedAt } = plan;
  return {
    ...{
      schema: environmentSchema,
      program: 'bench',
      runId,
      seed,
      status: 'complete',
      dirty: false,
      link: null,
      daemon: null,
    },
    commit: commit ?? '0123456789abcdef0123456789abcdef01234567',
    command: `npm run bench -- --workloads ${workloads.length > 12 ? '@all' : workloads.join(',')} --samples ${samples}`,
    ...{ startedAt: startedAt ?? '2026-01-02T03:04:05.000Z', endedAt: '2026-01-02T04:04:05.000Z' },
    versions: { 'stargz-bench': '0.2.0', containerd: null },
    machine: { cpu: { model: 'a <made-up> & synthetic CPU', count: 2 } },
    warnings: [],
    details: {
      modes: modes.map((name) => ({ name })),
      workloads: workloads.map((name, index) => ({ name, category: categories[index % categories.length] })),
    },
  };
}

/** Writes samples.csv, environment.json, and timeline.csv if there is one, into a directory, which is made. */
export async function writeSyntheticRun(directory: string, plan: SyntheticPlan): Promise<void> {
  await mkdir(directory, { recursive: true });
  const samples = syntheticSamples(plan);
  await writeFile(join(directory, 'samples.csv'), stringifyTable(sampleColumns, samples));
  if (plan.isTraced === true) {
    const timeline = stringifyTable(timelineColumns, syntheticTimeline(samples));
    await writeFile(join(directory, 'timeline.csv'), timeline);
  }
  await writeFile(join(directory, 'environment.json'), JSON.stringify(syntheticEnvironment(plan), undefined, 2));
}
