import { join } from 'node:path';
import { unpackDebianPackage } from '../../host/debian-package.ts';

export interface ContainerdVersion {
  /** The Debian suite that ships it. */
  readonly suite: string;
  /** The release line, for people and as a pattern of the package's version. */
  readonly line: string;
  readonly pattern: RegExp;
  /** 2 introduced config version 3, and annotations in pulls through the transfer service. */
  readonly major: 1 | 2;
}

/** The versions that distributions and Kubernetes nodes run. A later one in Debian's unstable suite serves as well. */
export const containerdVersions: readonly ContainerdVersion[] = [
  { suite: 'bookworm', line: '1.6', pattern: /^1\.6\./, major: 1 },
  { suite: 'trixie', line: '1.7', pattern: /^1\.7\./, major: 1 },
  { suite: 'sid', line: '2.1', pattern: /^2\.[1-9]\d*\./, major: 2 },
];

/** Kept between test runs. */
const cacheDir = '/var/lib/stargz-bench/containerd';

/** Returns the path of the program; its shim lies beside it. */
export async function unpackContainerd(version: ContainerdVersion, signal: AbortSignal): Promise<string> {
  const { suite, line, pattern } = version;
  const unpacked = await unpackDebianPackage({ name: 'containerd', suite, cacheDir }, signal);
  if (pattern.test(unpacked.version)) return join(unpacked.root, 'usr/bin/containerd');
  throw new Error(`Debian ${suite} has containerd ${unpacked.version}, not ${line}: choose another suite`);
}
