import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultWorkloads, workloads } from '../../workloads/catalogue.ts';
import { benchPackages, ensurePackages, findMissing, testPackages } from '../host/install.ts';
import { describeMachine, noiseWarnings } from '../host/machine.ts';
import { preflight } from '../host/preflight.ts';
import { modes } from '../cell/modes/catalogue.ts';
import { daemonSettingOf } from '../run/daemon-setting.ts';
import type { Dependencies } from '../bench/dependencies.ts';

const gib = 2 ** 30;
/** First the base, layers, archives and three variants of each image; later only what a cell unpacks. */
const firstRunBytes = 12 * gib;
const laterRunBytes = 4 * gib;

export const realDependencies: Dependencies = {
  workloads,
  defaultWorkloads,
  modes,
  mountedBy: (mode, backend, name) =>
    mode.daemonConfig && { ...mode, name, daemonConfig: { ...mode.daemonConfig, mount: { backend } } },
  isRoot: process.getuid?.() === 0,
  preflight: async ({ stateDir }) => {
    const haveImages = await access(join(stateDir, 'images')).then(
      () => true,
      () => false,
    );
    await preflight({ stateDir, freeBytes: haveImages ? laterRunBytes : firstRunBytes });
  },
  missingPackages: async (forTests) =>
    (await findMissing(forTests ? testPackages : benchPackages)).map((need) => need.package),
  ensurePackages: async (forTests, reporter, signal) => {
    await ensurePackages(forTests ? testPackages : benchPackages, reporter, signal);
  },
  describeMachine: async (stateDir) => {
    const machine = await describeMachine(stateDir);
    return { machine, warnings: noiseWarnings(machine) };
  },
  daemonSetting: daemonSettingOf,
  // Imported when needed: --help and --list must not wait for gRPC and Vega.
  openExecutor: async (request, signal) => (await import('./executor.ts')).openExecutor(request, signal),
  drawCharts: async (resultDir) => (await import('../../charts/draw.ts')).drawCharts(resultDir),
};
