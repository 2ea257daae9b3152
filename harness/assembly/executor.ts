import { join } from 'node:path';
import type { Workload } from '../../workloads/workload.ts';
import { createCellExecutor } from '../cell/cell.ts';
import { HarnessError } from '../cli/error.ts';
import type { ImageSet } from '../images/ensure.ts';
import type { Mode } from '../run/mode.ts';
import { startLink } from '../link/link.ts';
import { startRegistry } from '../registry/registry.ts';
import type { ExecutorRequest, OpenExecutor } from '../bench/dependencies.ts';
import { ensureWorkloadImages } from './testbed.ts';

/** Starts registry, images, link and cells; the executor's `close` takes them down in reverse order. */
export async function openExecutor(request: ExecutorRequest, signal: AbortSignal): Promise<OpenExecutor> {
  const { stateDir, reporter, workloads, modes } = request;
  await using stack = new AsyncDisposableStack();
  reporter.step('registry', 'starting');
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  stack.defer(() => registry.close());

  const images = await ensureWorkloadImages(
    workloads,
    {
      stateDir,
      registryAddress: registry.address,
      variants: [...new Set(modes.map((mode) => mode.variant))],
      onStep: (detail) => reporter.step('images', detail),
    },
    signal,
  );

  const link = await startLink({ target: registry.address, ...request.link });
  stack.defer(() => link.close());
  const cells = createCellExecutor({ stateDir, link, imageOf: (workload, mode) => imageOf(images, workload, mode) });
  stack.defer(() => cells.close());

  const owned = stack.move();
  return {
    executor: { execute: cells.execute, close: () => owned.disposeAsync() },
    record: { images: Object.fromEntries(images) },
  };
}

function imageOf(images: ReadonlyMap<string, ImageSet>, workload: Workload, mode: Mode): string {
  const image = images.get(workload.image.name)?.[mode.variant];
  if (image !== undefined) return image;
  throw new HarnessError('unsupported-image', `there is no ${mode.variant} image of ${workload.image.name}`);
}
