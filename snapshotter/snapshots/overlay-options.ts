import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Options for every overlay mount on this machine, probed once at start. `scratchDir` must be on the snapshots' file system. */
export async function probeOverlayOptions(scratchDir: string, signal: AbortSignal): Promise<readonly string[]> {
  const options: string[] = [];
  if (await needsUserXattr(scratchDir, signal)) options.push('userxattr');
  // With index=on an upper directory is tied to the lower directories of its first mount; ours change at a restart.
  if (existsSync('/sys/module/overlay/parameters/index')) options.push('index=off');
  return options;
}

/**
 * In a user namespace trusted.* xattrs are inaccessible, and overlayfs (Linux 5.11) uses user.overlay.* instead with this
 * option. Probed by a mount, since distributions have patched it in and out.
 */
async function needsUserXattr(scratchDir: string, signal: AbortSignal): Promise<boolean> {
  const map = await readFile('/proc/self/uid_map', 'utf8').catch(() => '');
  if (/^\s*0\s+0\s+4294967295\s*$/.test(map)) return false;
  await mkdir(scratchDir, { recursive: true, mode: 0o700 });
  const scratch = await mkdtemp(join(scratchDir, 'userxattr-'));
  try {
    for (const name of ['lower1', 'lower2', 'merged']) await mkdir(join(scratch, name));
    const lowers = `lowerdir=${join(scratch, 'lower1')}:${join(scratch, 'lower2')}`;
    const merged = join(scratch, 'merged');
    await run('mount', ['-t', 'overlay', '-o', `ro,${lowers},userxattr`, 'overlay', merged], {
      signal,
      timeout: 10_000,
    });
    await run('umount', [merged], { timeout: 10_000 });
    return true;
  } catch {
    return false;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
