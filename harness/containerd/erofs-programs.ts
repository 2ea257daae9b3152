import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HarnessError } from '../cli/error.ts';
import { findCommand } from '../host/commands.ts';
import { unpackDebianPackage } from '../host/debian-package.ts';

/** The programs that containerd's erofs snapshotter takes, which a stable distribution may not have yet. */
export interface ErofsPrograms {
  /** Path of a containerd with that snapshotter: 2.1 or later. */
  readonly containerd: string;
  /** What it answers to --version. */
  readonly containerdVersion: string;
  /** A directory to be searched first, with a mkfs.erofs that reads tar archives. Undefined: the one on PATH does. */
  readonly path: string | undefined;
}

/** Debian's suites that have them. mkfs.erofs of trixie needs less of the host's libraries than that of sid. */
const containerdSuite = 'sid';
const erofsSuite = 'trixie';

/** The machine's own where they are new enough; else Debian's, unpacked below `cacheDir` and not installed. */
export async function ensureErofsPrograms(cacheDir: string, signal: AbortSignal): Promise<ErofsPrograms> {
  const path = await ensureMkfs(cacheDir, signal);
  const own = await findCommand('containerd');
  const ownVersion = own === undefined ? '' : await outputOf(own, '--version', signal);
  if (own !== undefined && hasErofsSnapshotter(ownVersion)) {
    return { containerd: own, containerdVersion: ownVersion, path };
  }
  const unpacked = await unpackDebianPackage({ name: 'containerd', suite: containerdSuite, cacheDir }, signal);
  const containerd = join(unpacked.root, 'usr/bin/containerd');
  const containerdVersion = await outputOf(containerd, '--version', signal);
  if (hasErofsSnapshotter(containerdVersion)) return { containerd, containerdVersion, path };
  throw new HarnessError('unsupported-host', `containerd ${unpacked.version} has no erofs snapshotter`, {
    remedy: `remove ${unpacked.root}, so that a newer one is downloaded, or install containerd 2.1 or later`,
  });
}

/** "containerd <source> <version> <revision>": 2.1 and later. */
export function hasErofsSnapshotter(versionLine: string): boolean {
  const [, major = 0, minor = 0] = /^containerd\s+\S+\s+v?(\d+)\.(\d+)/.exec(versionLine)?.map(Number) ?? [];
  return major > 2 || (major === 2 && minor >= 1);
}

/** Its differ pipes a layer into `mkfs.erofs --tar=f`, which erofs-utils has since 1.7. */
async function ensureMkfs(cacheDir: string, signal: AbortSignal): Promise<string | undefined> {
  const own = await findCommand('mkfs.erofs');
  if (own !== undefined && (await outputOf(own, '--help', signal)).includes('--tar')) return undefined;
  const unpack = (name: string) => unpackDebianPackage({ name, suite: erofsSuite, cacheDir }, signal);
  const [utils, libc] = [await unpack('erofs-utils'), await unpack('libc6')];
  const directory = join(cacheDir, erofsSuite, 'erofs-path');
  const program = join(directory, 'mkfs.erofs');
  const isArm = process.arch === 'arm64';
  const triplet = isArm ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const libraryDir = join(libc.root, 'usr/lib', triplet);
  const loader = join(libraryDir, isArm ? 'ld-linux-aarch64.so.1' : 'ld-linux-x86-64.so.2');
  await mkdir(directory, { recursive: true });
  // The program needs a newer libc than the host's; its other libraries are the host's.
  const script = `#!/bin/sh\nexec ${loader} --library-path ${libraryDir}:/usr/lib/${triplet}:/lib/${triplet} ${utils.root}/usr/bin/mkfs.erofs "$@"\n`;
  await writeFile(program, script, { mode: 0o755 });
  if ((await outputOf(program, '--help', signal)).includes('--tar')) return directory;
  throw new HarnessError('missing-command', `mkfs.erofs ${utils.version} of Debian ${erofsSuite} does not run here`, {
    remedy: 'install erofs-utils 1.7 or later',
  });
}

async function outputOf(program: string, option: string, signal: AbortSignal): Promise<string> {
  const result = await execa(program, [option], {
    all: true,
    cancelSignal: signal,
    reject: false,
    stdin: 'ignore',
    timeout: 10_000,
  });
  signal.throwIfAborted();
  return (result.all ?? '').trim();
}
