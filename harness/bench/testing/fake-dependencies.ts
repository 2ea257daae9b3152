import type { ProgressOutput } from '../../progress/progress.ts';
import type { Outcome } from '../../../measurements/sample.ts';
import type { StartEvent } from '../../../measurements/timeline.ts';
import type { CatalogueWorkload } from '../../../workloads/workload.ts';
import type { Mode } from '../../run/mode.ts';
import type { Dependencies } from '../dependencies.ts';
import type { CellExecutor } from '../../run/run.ts';

/** Fakes for the tests of the command line: everything but containers. */

export const fakeWorkloads: readonly CatalogueWorkload[] = [
  fakeWorkload('python', 'a one-liner'),
  fakeWorkload('gcc', 'compiles and runs a program'),
  fakeWorkload('numpy', 'an import that was not optimised for'),
];

export const fakeModes: readonly Mode[] = [
  { ...fakeMode('legacy', 'whole layers'), snapshotter: 'overlayfs', daemonConfig: undefined },
  fakeMode('stargz', 'lazy'),
  fakeMode('estargz', 'lazy, in the order of use'),
];

function fakeWorkload(name: string, title: string): CatalogueWorkload {
  const image = { name, directory: '', parent: undefined };
  const ready = { kind: 'exit', stdout: '' } as const;
  const category = name === 'numpy' ? 'ai' : 'language';
  return {
    ...{ name, title, image, category, hub: undefined, groups: [category] },
    ...{ command: undefined, env: [], stdin: undefined, ready, timeoutMs: 1000 },
  };
}

function fakeMode(name: Mode['variant'], title: string): Mode {
  return { name, title, variant: name, snapshotter: 'stargz', daemonConfig: {} };
}

export interface FakeDependencies extends Dependencies {
  /** What was called, in order. */
  readonly calls: string[];
}

export type FakeCell = CellExecutor['execute'];
export type FakeTrace = CellExecutor['trace'];

export function fakeDependencies(
  fakeCell: FakeCell,
  overrides: Partial<Dependencies> = {},
  traceStart: FakeTrace = fakeTrace,
): FakeDependencies {
  const calls: string[] = [];
  const executor: CellExecutor = {
    execute: async (cell, onPhase, signal) => {
      calls.push(`cell ${cell.workload.name} ${cell.mode.name} ${cell.sample}`);
      return await fakeCell(cell, onPhase, signal);
    },
    trace: async (cell, signal) => {
      calls.push(`trace ${cell.workload.name} ${cell.mode.name}`);
      return await traceStart(cell, signal);
    },
    close: async () => void calls.push('close'),
  };
  return {
    calls,
    workloads: fakeWorkloads,
    defaultWorkloads: fakeWorkloads.slice(0, 2),
    readModes: async () => ({ defaults: fakeModes, all: fakeModes, groups: {} }),
    mountedBy: (mode, _mount, name) => (mode.name === 'legacy' ? undefined : { ...mode, name }),
    resolveBase: async (ref, stateDir) => ({
      ref,
      commit: '0123456789abcdef0123456789abcdef01234567',
      directory: stateDir,
    }),
    isRoot: true,
    preflight: async () => void calls.push('preflight'),
    missingPackages: async () => ['runc', 'buildah'],
    ensurePackages: async () => void calls.push('packages'),
    describeMachine: async () => ({ machine: { kernel: 'a kernel' }, warnings: ['something else is busy'] }),
    daemonSetting: () => undefined,
    openExecutor: async ({ reporter }) => {
      calls.push('open');
      reporter.step('images', 'python: layer 1 of 3');
      return { executor, record: { images: { python: 'a digest' } } };
    },
    drawCharts: async (resultDir) => {
      calls.push('charts');
      return [`${resultDir}/report.html`];
    },
    ...overrides,
  };
}

/** Legacy 4.1 s, stargz 2.1 s, estargz 1.1 s. */
export const quickCell: FakeCell = async (cell, onPhase) => {
  for (const phase of ['reset', 'start', 'pull', 'create', 'run', 'collect', 'stop'] as const) onPhase(phase);
  return fakeOutcome(cell.mode.name);
};

/** Ready after a second, with one request. */
export const fakeTrace: FakeTrace = async () => {
  const events: StartEvent[] = [
    { kind: 'phase', what: 'pull', atMs: 0, endMs: 80 },
    { kind: 'request', what: 'manifest', atMs: 2, firstByteMs: 32, endMs: 33, bytes: 700 },
    { kind: 'phase', what: 'create', atMs: 80, endMs: 100 },
    { kind: 'phase', what: 'run', atMs: 100, endMs: 1000 },
    { kind: 'ready', atMs: 1000, bytes: 700 },
  ];
  return events;
};

export function fakeOutcome(mode: string): Outcome {
  const runMs = mode === 'legacy' ? 4000 : mode === 'stargz' ? 2000 : 1000;
  return {
    ok: true,
    pullMs: 80,
    createMs: 20,
    runMs,
    image: `127.0.0.1:5000/image:${mode}`,
    snapshotter: mode === 'legacy' ? 'overlayfs' : 'stargz',
    mount: mode === 'legacy' ? 'overlayfs' : 'fuse',
    wireBytes: runMs * 10_000,
    wireRequests: 12,
    imageBytes: 60_000_000,
    layers: 4,
    lazyLayers: mode === 'legacy' ? 0 : 4,
  };
}

/** Collects what is written. */
export function fakeOutput(isTTY = false): ProgressOutput & { text: string } {
  const output = {
    text: '',
    columns: 80,
    isTTY,
    write: (text: string) => {
      output.text += text;
    },
  };
  return output;
}
