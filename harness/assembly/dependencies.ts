import { fileURLToPath } from 'node:url';
import { defaultWorkloads, workloads } from '../../workloads/catalogue.ts';
import {
  benchPackages,
  dockerPackage,
  ensurePackages,
  findMissing,
  type PackageNeed,
  runPackages,
  testPackages,
} from '../host/install.ts';
import { resolveBase } from '../host/base-checkout.ts';
import { describeMachine, noiseWarnings } from '../host/machine.ts';
import { isImported } from '../../workloads/workload.ts';
import { preflight } from '../host/preflight.ts';
import { firstRuns, modeGroups, modes, withSecondRuns } from '../cell/modes/catalogue.ts';
import { peerPackages } from '../daemon/peer.ts';
import { readPeers } from '../daemon/peers-file.ts';
import { variantNames } from '../images/variants.ts';
import type { Mode } from '../run/mode.ts';
import { peerModes } from '../run/peer-modes.ts';
import { daemonSettingOf } from '../run/daemon-setting.ts';
import type { Dependencies, PackagesRequest } from '../bench/dependencies.ts';
import type { KnownModes } from '../run/known-modes.ts';

/** The snapshotters of others that come with the project. */
export const ownPeersPath = fileURLToPath(new URL('../../modes/peers.toml', import.meta.url));

export const realDependencies: Dependencies = {
  workloads,
  defaultWorkloads,
  readModes,
  mountedBy: (mode, backend, name) => {
    const { daemonConfig, peer } = mode;
    if (daemonConfig === undefined || peer !== undefined || daemonConfig.mount !== undefined) return undefined;
    return { ...mode, name, daemonConfig: { ...daemonConfig, mount: { backend } } };
  },
  resolveBase: async (ref, stateDir) => ({ ref, ...(await resolveBase(ref, stateDir)) }),
  isRoot: process.getuid?.() === 0,
  preflight: async ({ stateDir, workloads, modes, images }) => {
    const { neededDisk } = await import('./images.ts');
    const variants = [...new Set(modes.map((mode) => mode.variant))];
    await preflight({ stateDir, freeBytes: await neededDisk(workloads, { stateDir, variants, images }) });
  },
  missingPackages: async (request) => (await findMissing(await packagesOf(request))).map((need) => need.package),
  ensurePackages: async (request, reporter, signal) => {
    await ensurePackages(await packagesOf(request), reporter, signal);
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

async function readModes(peersPath = ownPeersPath): Promise<KnownModes> {
  const peers = await readPeers(peersPath, variantNames);
  const all = [...firstRuns, ...peers.flatMap(peerModes)].flatMap(withSecondRuns);
  return { defaults: modes, all, groups: modeGroups };
}

async function packagesOf({ forTests, modes: chosen, workloads: run }: PackagesRequest): Promise<PackageNeed[]> {
  const isBuilding = run?.some(({ image }) => !isImported(image)) ?? true;
  const basic = isBuilding ? benchPackages : runPackages;
  const peers = new Map(chosen.flatMap(({ peer }) => (peer === undefined ? [] : [[peer.name, peer] as const])));
  const needs = await Promise.all([...peers.values()].map(peerPackages));
  return [...(forTests ? testPackages : basic), ...(isDocker(chosen) ? [dockerPackage] : []), ...needs.flat()];
}

function isDocker(chosen: readonly Mode[]): boolean {
  return chosen.some((mode) => mode.engine === 'docker');
}
