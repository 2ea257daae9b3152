import type { Mount } from '../../../snapshotter/api/types/types.ts';
import { mountFilesystem } from '../../../snapshotter/platform/syscalls.ts';

/** mount(2). */
const flagOf: Readonly<Record<string, number>> = { ro: 1, rw: 0, bind: 4096, rbind: 4096 | 16384 };

/** Mounts what a snapshotter returned, without a process: thousands are to be mounted. */
export async function mountSnapshot({ type, source, options }: Mount, target: string): Promise<void> {
  const flags = options.reduce((all, option) => all | (flagOf[option] ?? 0), 0);
  const data = options.filter((option) => flagOf[option] === undefined).join(',');
  await mountFilesystem(source, target, type, flags, data);
}
