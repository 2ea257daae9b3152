import { UsageError } from '../../cli/quantity.ts';
import { say } from '../../cli/program.ts';
import { describeUse, measureUse, totalOf } from '../../images/disk-use.ts';
import { planPrune, prune } from '../../images/prune.ts';
import { storedBytes } from '../../images/store.ts';
import { lockStateDir } from '../../run/lock.ts';
import type { ImagesOptions } from './options.ts';

/** Resolves to false if more than the limit is taken all the same. */
export async function pruneImages(options: ImagesOptions, signal: AbortSignal): Promise<boolean> {
  const { images, stateDir, limitBytes, dryRun } = options;
  if (images.remote !== undefined) {
    throw new UsageError(`prune removes what is below --state-dir; images in ${images.remote.name} are removed there`);
  }
  const before = await measureUse(stateDir);
  say(describeUse(before));
  const request = { ...options, onStep: say };
  if (dryRun) {
    const { kept, removed } = await planPrune(request);
    for (const { name } of removed) say(`would remove ${name}`);
    const bytes = storedBytes([...kept, ...removed]) - storedBytes(kept) + before.convertedLayers;
    say(`would remove ${removed.length} images and the converter's cache, ${(bytes / 1e9).toFixed(1)} GB`);
    return true;
  }
  const lock = await lockStateDir(stateDir);
  try {
    await prune(request, signal);
  } finally {
    await lock.release();
  }
  const after = await measureUse(stateDir);
  say(describeUse(after));
  return limitBytes === undefined || totalOf(after) <= limitBytes;
}
