import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HarnessError, lastLines } from '../cli/error.ts';
import { debianMirrors, readAptSources, readHostRelease } from '../host/apt-sources.ts';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { unmountUnder } from '../host/mounts.ts';
import { keyOf } from './key.ts';

const suite = 'bookworm';
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const aptConfig = join(import.meta.dirname, 'apt-image.conf');
/** Without usr-is-merged, apt satisfies the dependency with usrmerge, which depends on perl. */
const needed = 'usr-is-merged';
const options = ['--variant=minbase', '--mode=root'];
/** Configured to keep no caches, apt-get clean removes none; mmdebstrap also leaves copies of the host's files. */
const cleanUp = '--customize-hook=rm -f "$1"/var/cache/apt/*.bin "$1"/etc/hostname "$1"/etc/resolv.conf';
const hooks = [
  '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
  `--customize-hook=cp '${aptConfig}' "$1/etc/apt/apt.conf.d/80image"`,
  cleanUp,
];
const buildLimitMs = 900_000;

export interface DebianBase {
  /** Identifies the content of the base, independent of the mirror it came from. */
  readonly key: string;
  readonly tarPath: string;
}

/** Where the tar of a base lies below `directory`, whether it is built or not. */
export async function locateBase(directory: string, packages: readonly string[] = []): Promise<DebianBase> {
  const include = includeOption(packages);
  const key = keyOf({ arguments: [...options, include, cleanUp, suite], aptConfig: await readFile(aptConfig, 'utf8') });
  return { key, tarPath: join(directory, `debian-${suite}-${key}.tar`) };
}

function includeOption(packages: readonly string[]): string {
  return `--include=${[needed, ...packages].join(',')}`;
}

/** The Debian base with additional packages as a tar, built once by mmdebstrap and kept below `directory`. */
export async function ensureBase(
  directory: string,
  onStep: (detail: string) => void,
  signal: AbortSignal,
  packages: readonly string[] = [],
): Promise<DebianBase> {
  const { key, tarPath } = await locateBase(directory, packages);
  const present = await access(tarPath).then(
    () => true,
    () => false,
  );
  if (present) return { key, tarPath };
  onStep(`Debian ${suite} base (mmdebstrap)`);
  await mkdir(directory, { recursive: true });
  const sources = debianMirrors(suite, await readHostRelease(), await readAptSources());
  const lines = sources.map(
    (source) => `deb [signed-by=${keyring}] ${source.uri} ${source.suite} ${source.components.join(' ')}`,
  );
  const partial = `${tarPath}.partial.tar`;
  const work = await mkdtemp(join(directory, 'mmdebstrap-'));
  const result = await execa('mmdebstrap', [...options, includeOption(packages), ...hooks, suite, partial, ...lines], {
    all: true,
    cancelSignal: signal,
    env: { DEBIAN_FRONTEND: 'noninteractive', TMPDIR: work },
    forceKillAfterDelay: 10_000,
    reject: false,
    stdin: 'ignore',
    timeout: buildLimitMs,
  });
  await removeWork(work);
  if (result.failed) await rm(partial, { force: true });
  signal.throwIfAborted();
  if (result.failed) {
    throw new HarnessError(
      'image-build',
      `mmdebstrap of Debian ${suite} failed: ${lastLines(result.all || (result.message ?? ''))}`,
      {
        remedy: 'check that the Debian mirror of /etc/apt is reachable (apt-get update), then run again',
        cause: result,
      },
    );
  }
  await rename(partial, tarPath);
  return { key, tarPath };
}

/** A killed mmdebstrap leaves the host's /dev, /proc and /sys mounted here: never delete through those. */
async function removeWork(directory: string): Promise<void> {
  await unmountUnder(directory);
  if (mountsUnder(directory).length === 0) await rm(directory, { recursive: true, force: true });
}
