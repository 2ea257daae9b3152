import { workloads as allWorkloads } from '../../workloads/catalogue.ts';
import type { Workload } from '../../workloads/workload.ts';
import type { ExecutorRequest } from '../bench/dependencies.ts';
import { sharingWorkload } from '../run/sharing.ts';
import { profilesOf } from '../images/ensure.ts';
import type { RemoteOrigin } from '../images/origin.ts';
import { neededBytes, planImages } from '../images/plan.ts';
import type { ImagesSetting } from '../images/registry-options.ts';
import { type Variant, withNeeded } from '../images/variants.ts';
import { openAccess } from '../registry/access.ts';

export interface DiskRequest {
  readonly stateDir: string;
  readonly variants: readonly Variant[];
  readonly images: ImagesSetting;
}

/** Bytes that a run may write below its state directory: what a cell unpacks, and the images that are not there yet. */
export async function neededDisk(
  workloads: readonly Workload[],
  { stateDir, variants, images }: DiskRequest,
): Promise<number> {
  if (images.remote !== undefined) return neededBytes(0, 0);
  if (images.origin.kind === 'debian') return (await planImages(workloads, variants, stateDir)).neededBytes;
  // Their keys are known only once the registry was asked.
  const count = profilesOf(workloads).length;
  return neededBytes(count, count * (withNeeded(variants).length - 1));
}

/** Undefined: images are built here. Closed with the stack. */
export function openOrigin(
  { origin, tags, hostsDirectory }: ImagesSetting,
  stack: AsyncDisposableStack,
): RemoteOrigin | undefined {
  return origin.kind === 'debian' ? undefined : { origin, tags, access: stack.use(openAccess(hostsDirectory)) };
}

/** With those that second runs run first. */
export function neededWorkloads({
  workloads,
  modes,
}: Pick<ExecutorRequest, 'workloads' | 'modes'>): readonly Workload[] {
  const isShared = modes.some((mode) => mode.daemonState === 'shared');
  return [...new Set([...workloads, ...(isShared ? workloads.flatMap((one) => sharingWith(one) ?? []) : [])])];
}

export function sharingWith(workload: Workload): Workload | undefined {
  return sharingWorkload(workload, allWorkloads);
}
