import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface MountEntry {
  readonly path: string;
  /** st_dev as `major:minor`, in decimal. */
  readonly device: string;
  readonly type: string;
}

/** The mounts of this namespace, later ones on top of earlier ones: /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export function listMounts(): MountEntry[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const fields = line.split(' ');
      const dash = fields.indexOf('-', 6);
      return dash < 0 ? [] : [{ path: unescapePath(fields[4]!), device: fields[2]!, type: fields[dash + 1]! }];
    });
}

/** How far the kernel reads ahead on a mount, by its name in /sys/class/bdi. Where that cannot be written, 128 KiB stay. */
export async function setReadahead(bdi: string, kib: number): Promise<void> {
  await writeFile(join('/sys/class/bdi', bdi, 'read_ahead_kb'), String(kib)).catch(() => {});
}

/** Blanks and backslashes stand as octal numbers; the rest was decoded from UTF-8 already. */
function unescapePath(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
