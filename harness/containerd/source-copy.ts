import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { SourceMount, Workload } from '../../workloads/workload.ts';

/**
 * A fresh copy of the workload's sources below `directory`, which must not exist yet, so that a run finds neither the
 * binaries of an earlier one nor can change the originals.
 */
export async function copySources({ mounts = [] }: Workload, directory: string): Promise<readonly SourceMount[]> {
  const copies = mounts.map(({ source, target }, index) => ({
    from: source,
    source: join(directory, String(index)),
    target,
  }));
  for (const { from, source } of copies) {
    await mkdir(directory, { recursive: true });
    await cp(from, source, { recursive: true, errorOnExist: true, force: false });
  }
  return copies.map(({ source, target }) => ({ source, target }));
}
