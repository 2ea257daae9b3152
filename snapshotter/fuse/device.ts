import { closeSync, constants, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, realpath, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { listMounts, type MountEntry } from '../platform/mountinfo.ts';
import {
  MNT_DETACH,
  MS_NOATIME,
  MS_RDONLY,
  mountFilesystem,
  type SyscallError,
  unmountFilesystem,
} from '../platform/syscalls.ts';
import { FuseError } from './error.ts';

const devicePath = '/dev/fuse';
const controlPath = '/sys/fs/fuse/connections';
const filesystemType = 'fuse.stargz';
const unmountLimitMs = 5000;

/** A new connection, not yet mounted. Its reads do not block; wait with poll(2). */
export function openFuseDevice(mountpoint: string): number {
  try {
    return openSync(devicePath, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const remedy = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'run `modprobe fuse`' : 'run as root';
    throw new FuseError('no-device', mountpoint, `cannot open ${devicePath}; ${remedy}`, error);
  }
}

/**
 * Mounts the connection read-only and noatime: otherwise each read would invalidate the inode's cached atime, and the
 * kernel would send GETATTR again.
 */
export async function mountFuse(fuseFd: number, mountpoint: string): Promise<void> {
  // allow_other: containers run as other users.
  const data = [`fd=${fuseFd}`, 'rootmode=40000', 'user_id=0', 'group_id=0', 'default_permissions', 'allow_other'];
  try {
    await mountFilesystem('stargz', mountpoint, filesystemType, MS_RDONLY | MS_NOATIME, data.join(','));
  } catch (error) {
    const remedy = (error as SyscallError).code === 'EPERM' ? 'run as root, with CAP_SYS_ADMIN' : 'see the kernel log';
    throw new FuseError('mount-failed', mountpoint, `mount(2) failed; ${remedy}`, error);
  }
}

/**
 * The resolved path of the directory, created if missing. A FUSE mount that a killed daemon left there is detached; any
 * other file system is an error.
 */
export async function prepareMountpoint(path: string): Promise<string> {
  const parent = dirname(resolve(path));
  await mkdir(parent, { recursive: true });
  // The last component is not resolved: on a dead mount even lstat fails.
  const mountpoint = join(await realpath(parent), basename(path));
  for (let mounted = findMount(mountpoint); mounted !== undefined; mounted = findMount(mountpoint)) {
    if (mounted.type !== filesystemType)
      throw new FuseError(
        'mount-failed',
        mountpoint,
        `a ${mounted.type} is mounted there; unmount it or choose another`,
      );
    await unmountFilesystem(mountpoint, MNT_DETACH);
  }
  await mkdir(mountpoint, { recursive: true });
  return mountpoint;
}

/** The topmost mount at exactly this path. */
export function findMount(mountpoint: string): MountEntry | undefined {
  return listMounts().findLast(({ path }) => path === mountpoint);
}

/**
 * Unmounts, lazily if the mount is in use or umount(2) takes too long. Call it while requests are still answered.
 */
export async function unmountFuse(mountpoint: string): Promise<void> {
  const limit = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => limit.resolve('late'), unmountLimitMs);
  try {
    const outcome = await Promise.race([unmountFilesystem(mountpoint).then(() => 'done' as const), limit.promise]);
    if (outcome === 'done') return;
  } catch (error) {
    const { code } = error as SyscallError;
    // Not a mount point, or gone with its directory: it was unmounted elsewhere.
    if (code === 'EINVAL' || code === 'ENOENT') return;
  } finally {
    clearTimeout(timer);
  }
  await unmountFilesystem(mountpoint, MNT_DETACH).catch((error: SyscallError) => {
    if (error.code !== 'EINVAL' && error.code !== 'ENOENT') throw error;
  });
}

/**
 * Aborts a connection whose superblock outlives its mount (overlays and open files keep it), even if another process
 * holds its descriptor: its users get ENOTCONN. `device` is that of `findMount`. Does nothing if the connection is
 * gone.
 */
export async function abortConnection(device: string): Promise<void> {
  const connection = join(device.slice(device.indexOf(':') + 1), 'abort');
  if (await writeControl(join(controlPath, connection))) return;
  // Usually mounted by systemd; otherwise mount fusectl here for a moment.
  const directory = await mkdtemp(join(tmpdir(), 'fusectl-'));
  try {
    await mountFilesystem('none', directory, 'fusectl', 0, '');
    await writeControl(join(directory, connection));
    await unmountFilesystem(directory, MNT_DETACH);
  } catch {
    // Not permitted: the connection ends with its last descriptor.
  } finally {
    await rmdir(directory).catch(() => {});
  }
}

/** False if there is no such file because the control file system is not mounted. */
async function writeControl(path: string): Promise<boolean> {
  const isMounted = (await readdir(dirname(dirname(path))).catch(() => [])).length > 0;
  await writeFile(path, '1', { flag: 'r+' }).catch(() => {});
  return isMounted;
}

export function closeDescriptor(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Already closed.
  }
}
