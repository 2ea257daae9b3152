import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MountEntry {
  readonly path: string;
  /** st_dev as `major:minor`, in decimal. */
  readonly device: string;
  readonly type: string;
  readonly source: string;
}

/** The mounts of this namespace, in mount order. */
export function listMounts(): MountEntry[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** The mounts on `directory` and below it, in mount order. */
export function mountsUnder(directory: string): MountEntry[] {
  const below = directory.endsWith('/') ? directory : `${directory}/`;
  return listMounts().filter(({ path }) => path === directory || path.startsWith(below));
}

/** /proc/PID/mountinfo (proc_pid_mountinfo(5)): fields 3 and 5; type and source follow the lone "-". */
export function parseMountinfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    if (dash < 0) return [];
    return [
      {
        path: unescapeField(fields[4]!),
        device: fields[2]!,
        type: fields[dash + 1]!,
        source: unescapeField(fields[dash + 2]!),
      },
    ];
  });
}

/** Sets how far the kernel reads ahead on a mount, by its name in /sys/class/bdi. Where that is read-only, the default of 128 KiB stays. */
export function setReadahead(bdi: string, kib: number): void {
  try {
    writeFileSync(join('/sys/class/bdi', bdi, 'read_ahead_kb'), String(kib));
  } catch {
    // Read-only.
  }
}

/** The kernel writes space, tab, newline and backslash as octal escapes. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
