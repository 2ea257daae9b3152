import { join } from 'node:path';
import { unpackDebianPackage } from '../../host/debian-package.ts';

export interface ContainerdVersion {
  /** The Debian suite that has it. */
  readonly suite: string;
  /** What its package's version must look like, in words and as a pattern. */
  readonly line: string;
  readonly pattern: RegExp;
  /** 2 brought config version 3, and annotations to pulls through the transfer service. */
  readonly major: 1 | 2;
}

/** Those that distributions and Kubernetes nodes run. Debian's unstable suite moves on: there a later one serves as well. */
export const containerdVersions: readonly ContainerdVersion[] = [
  { suite: 'bookworm', line: '1.6', pattern: /^1\.6\./, major: 1 },
  { suite: 'trixie', line: '1.7', pattern: /^1\.7\./, major: 1 },
  { suite: 'sid', line: '2.1', pattern: /^2\.[1-9]\d*\./, major: 2 },
];

/** Kept there from one test run to the next. */
const cacheDir = '/var/lib/stargz-bench/containerd';

/** The path of the program; its shim lies beside it. */
export async function unpackContainerd(version: ContainerdVersion, signal: AbortSignal): Promise<string> {
  const { suite, line, pattern } = version;
  const unpacked = await unpackDebianPackage({ name: 'containerd', suite, cacheDir }, signal);
  if (pattern.test(unpacked.version)) return join(unpacked.root, 'usr/bin/containerd');
  throw new Error(`Debian ${suite} has containerd ${unpacked.version}, not ${line}: take it from another suite`);
}
