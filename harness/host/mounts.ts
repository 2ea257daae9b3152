import { readFile } from 'node:fs/promises';
import { sep } from 'node:path';
import { execa } from 'execa';
import { HarnessError, lastLines } from '../cli/error.ts';

export interface MountPoint {
  readonly path: string;
  readonly type: string;
  readonly source: string;
}

/** /proc/PID/mountinfo, in mount order (proc_pid_mountinfo(5)): fields 5, and after the lone "-" type and source. */
export function parseMountinfo(text: string): MountPoint[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    if (dash < 0) return [];
    return [{ path: unescapeField(fields[4]!), type: fields[dash + 1]!, source: unescapeField(fields[dash + 2]!) }];
  });
}

export async function listMounts(): Promise<MountPoint[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** The mounts on `directory` and below it, in mount order. */
export async function mountsUnder(directory: string): Promise<MountPoint[]> {
  const below = directory.endsWith(sep) ? directory : directory + sep;
  return (await listMounts()).filter(({ path }) => path === directory || path.startsWith(below));
}

/**
 * Takes down every mount on `directory` and below it, the newest first; a busy one is detached, so that nothing new
 * reaches it and the kernel frees it with its last user.
 */
export async function unmountUnder(directory: string): Promise<void> {
  // A mount point may carry several mounts: each pass takes the top ones.
  for (let pass = 0; pass < 8; pass++) {
    const mounts = await mountsUnder(directory);
    if (mounts.length === 0) return;
    for (const { path } of mounts.reverse()) {
      const plain = await execa('umount', [path], { reject: false, timeout: 10_000 });
      if (plain.failed) await execa('umount', ['--lazy', path], { reject: false, timeout: 10_000 });
    }
  }
  const left = await mountsUnder(directory);
  if (left.length === 0) return;
  throw new HarnessError('cleanup', `cannot unmount ${lastLines(left.map((mount) => mount.path).join('\n'))}`, {
    remedy: 'see who uses it with fuser -vm, end that, and unmount it',
  });
}

function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
