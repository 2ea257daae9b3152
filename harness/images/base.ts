import { access, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HarnessError, lastLines } from '../error.ts';
import { debianMirrors, readAptSources, readHostRelease } from '../host/apt-sources.ts';
import { keyOf } from './key.ts';

const suite = 'bookworm';
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const buildLimitMs = 900_000;

export interface DebianBase {
  /** Names what the base is made of; where it was downloaded from is no part of it. */
  readonly key: string;
  readonly tarPath: string;
}

/** The Debian base as a tar, made once by mmdebstrap and then kept under `directory`. */
export async function ensureBase(
  directory: string,
  onStep: (detail: string) => void,
  signal: AbortSignal,
): Promise<DebianBase> {
  const key = keyOf({ suite, variant: 'minbase' });
  const tarPath = join(directory, `debian-${suite}-${key}.tar`);
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
  const result = await execa('mmdebstrap', ['--variant=minbase', '--mode=root', suite, partial, ...lines], {
    all: true,
    cancelSignal: signal,
    env: { DEBIAN_FRONTEND: 'noninteractive', TMPDIR: directory },
    forceKillAfterDelay: 10_000,
    reject: false,
    stdin: 'ignore',
    timeout: buildLimitMs,
  });
  signal.throwIfAborted();
  if (result.failed) {
    await rm(partial, { force: true });
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
