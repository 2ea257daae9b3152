import { constants } from 'node:fs';
import { access, mkdir, readFile, statfs } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { execa } from 'execa';
import { HarnessError } from '../cli/error.ts';
import { listMounts } from '../../snapshotter/platform/mountinfo.ts';

export interface PreflightOptions {
  readonly stateDir: string;
  /** Bytes that a run with nothing cached writes below stateDir. */
  readonly freeBytes: number;
}

/** File systems that cannot hold an overlay's upper directory, by f_type of statfs(2). */
const unfitForOverlay = new Map([
  [0x794c7630, 'overlayfs'],
  [0x6969, 'nfs'],
  [0x65735546, 'fuse'],
]);

/** Checks everything that would make a run fail later, and creates the state directory. Throws HarnessError. */
export async function preflight(options: PreflightOptions): Promise<void> {
  if (process.platform !== 'linux') {
    throw new HarnessError('unsupported-host', `cannot run containers on ${process.platform}`, {
      remedy: 'run on Debian or Ubuntu Linux',
    });
  }
  if (process.getuid?.() !== 0) {
    throw new HarnessError('not-root', 'not root: containers, mounts and dropping caches need it', {
      remedy: 'run again with sudo',
    });
  }
  await checkFileSystem('overlay', 'containerd');
  await checkFileSystem('fuse', 'the snapshotter');
  await access('/dev/fuse', constants.R_OK | constants.W_OK).catch((cause) => {
    throw new HarnessError('unsupported-host', 'no access to /dev/fuse, which lazy pulling needs', {
      remedy: 'run modprobe fuse; in a container, add --device /dev/fuse --privileged',
      cause,
    });
  });
  await access('/proc/sys/vm/drop_caches', constants.W_OK).catch((cause) => {
    throw new HarnessError('unsupported-host', 'cannot drop the page cache: /proc/sys is read-only', {
      remedy: 'in a container, run it with --privileged',
      cause,
    });
  });
  const mounts = listMounts();
  if (!mounts.some((mount) => mount.type === 'cgroup' || mount.type === 'cgroup2')) {
    throw new HarnessError('unsupported-host', 'no control groups are mounted, which runc needs', {
      remedy: 'mount -t cgroup2 none /sys/fs/cgroup',
    });
  }
  await checkStateDir(options);
}

async function checkFileSystem(type: string, user: string): Promise<void> {
  const known = async () =>
    (await readFile('/proc/filesystems', 'utf8')).split('\n').some((line) => line.endsWith(`\t${type}`));
  if (await known()) return;
  // Mounting it would load the module too.
  await execa('modprobe', [type], { reject: false, timeout: 10_000 });
  if (await known()) return;
  throw new HarnessError('unsupported-host', `this kernel has no ${type} file system, which ${user} needs`, {
    remedy: `load it (modprobe ${type}) or boot a kernel that has it`,
  });
}

async function checkStateDir({ stateDir, freeBytes }: PreflightOptions): Promise<void> {
  const existing = await nearestDirectory(stateDir);
  const { type, bavail, bsize } = await statfs(existing);
  const unfit = unfitForOverlay.get(type);
  if (unfit !== undefined) {
    throw new HarnessError(
      'unsupported-host',
      `${stateDir} is on ${unfit}, which cannot hold an overlay's upper directory`,
      {
        remedy: 'choose a directory on ext4, xfs, btrfs or tmpfs with --state-dir',
      },
    );
  }
  const available = bavail * bsize;
  if (available < freeBytes) {
    const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
    throw new HarnessError('disk-full', `${existing} has ${gib(available)} free, a run needs ${gib(freeBytes)}`, {
      remedy: 'free some, or choose another disk with --state-dir',
    });
  }
  try {
    await makeDirectories(existing, stateDir);
  } catch (cause) {
    throw new HarnessError('usage', `cannot make the state directory ${stateDir}`, {
      remedy: 'choose another with --state-dir',
      cause,
    });
  }
}

/** Node 24's recursive mkdir never returns where mkdir(2) fails with ENOENT, as in /proc. */
async function makeDirectories(existing: string, path: string): Promise<void> {
  let dir = existing;
  for (const name of relative(existing, path).split(sep)) {
    if (name === '') continue;
    dir = join(dir, name);
    await mkdir(dir, { mode: 0o700 });
  }
}

/** The deepest directory on the way to a path that exists. */
export async function nearestDirectory(path: string): Promise<string> {
  for (let dir = path; ; dir = dirname(dir)) {
    const found = await access(dir).then(
      () => true,
      () => false,
    );
    if (found || dir === dirname(dir)) return dir;
  }
}
