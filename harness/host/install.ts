import { access, readFile, unlink, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { Reporter } from '../cli/reporter.ts';
import { HarnessError, lastLines } from '../cli/error.ts';
import { readHostRelease } from './apt-sources.ts';
import { findCommand } from './commands.ts';

/** A Debian package, and a file or command that shows that its content is there, however it got there. */
export interface PackageNeed {
  readonly package: string;
  readonly provides: { readonly command: string } | { readonly file: string };
}

/** What runs images. */
export const runPackages: readonly PackageNeed[] = [
  { package: 'containerd', provides: { command: 'containerd' } },
  { package: 'runc', provides: { command: 'runc' } },
  { package: 'docker-registry', provides: { command: 'docker-registry' } },
];

/** What the benchmarks need, which build theirs. */
export const benchPackages: readonly PackageNeed[] = [
  ...runPackages,
  { package: 'buildah', provides: { command: 'buildah' } },
  { package: 'mmdebstrap', provides: { command: 'mmdebstrap' } },
  { package: 'debian-archive-keyring', provides: { file: '/usr/share/keyrings/debian-archive-keyring.gpg' } },
];

/** Docker Engine, for the mode that pulls and runs with it. */
export const dockerPackage: PackageNeed = { package: 'docker.io', provides: { command: 'dockerd' } };

/** What the tests need: also a static shell for small images, and other implementations of our formats. */
export const testPackages: readonly PackageNeed[] = [
  ...benchPackages,
  { package: 'busybox-static', provides: { file: '/usr/share/doc/busybox-static' } },
  { package: 'erofs-utils', provides: { command: 'fsck.erofs' } },
  { package: 'stargz-snapshotter', provides: { command: 'ctr-remote' } },
  { package: 'docker.io', provides: { command: 'dockerd' } },
  { package: 'skopeo', provides: { command: 'skopeo' } },
  { package: 'umoci', provides: { command: 'umoci' } },
  { package: 'openssl', provides: { command: 'openssl' } },
  { package: 'python3', provides: { command: 'python3' } },
  { package: 'zstd', provides: { command: 'zstd' } },
  dockerPackage,
  // Opens reports as people do.
  { package: 'chromium', provides: { command: 'chromium' } },
  // Builds the Go daemon that ours is measured beside.
  { package: 'golang-go', provides: { command: 'go' } },
];

const policyPath = '/usr/sbin/policy-rc.d';
const policyText =
  '#!/bin/sh\n# stargz-bench: packages that are being installed start no service. Safe to remove.\nexit 101\n';
const lockLimitMs = 120_000;
const installLimitMs = 900_000;

export async function findMissing(needs: readonly PackageNeed[]): Promise<PackageNeed[]> {
  const present = await Promise.all(needs.map(isPresent));
  return needs.filter((_, index) => !present[index]);
}

/** Installs what is missing with apt-get without starting services; returns the names of the installed packages. */
export async function ensurePackages(
  needs: readonly PackageNeed[],
  reporter: Reporter,
  signal: AbortSignal,
): Promise<string[]> {
  const missing = (await findMissing(needs)).map((need) => need.package);
  if (missing.length === 0) return [];
  const names = missing.join(' ');
  if ((await findCommand('apt-get')) === undefined) {
    const { id } = await readHostRelease();
    throw new HarnessError(
      'unsupported-host',
      `cannot install ${names}: no apt-get on this host (${id || 'unknown'})`,
      {
        remedy: 'run on Debian or Ubuntu, or install them yourself and put them on PATH',
      },
    );
  }
  if (process.getuid?.() !== 0) {
    throw new HarnessError('not-root', `cannot install ${names}: not root`, {
      remedy: `run with sudo, or install them first: sudo apt-get install ${names}`,
    });
  }
  const restorePolicy = await holdServices();
  try {
    reporter.step('packages', `installing ${names}`);
    if (!(await haveCandidates(missing, signal))) await updateLists(reporter, signal);
    let failure = await install(missing, signal);
    if (failure?.code === 'network' || failure?.code === 'package-install') {
      // The lists may name versions that the mirror has replaced.
      await updateLists(reporter, signal);
      failure = await install(missing, signal);
    }
    if (failure !== undefined) throw failure;
  } finally {
    await restorePolicy();
  }
  const still = await findMissing(needs);
  if (still.length > 0) {
    throw new HarnessError(
      'package-install',
      `installed but not found: ${still.map((need) => need.package).join(' ')}`,
      {
        remedy: 'check PATH',
      },
    );
  }
  return missing;
}

async function isPresent({ provides }: PackageNeed): Promise<boolean> {
  if ('command' in provides) return (await findCommand(provides.command)) !== undefined;
  return await access(provides.file).then(
    () => true,
    () => false,
  );
}

/** Keeps packages from starting services by policy-rc.d(8). A file that is already there is the administrator's and stays. */
async function holdServices(): Promise<() => Promise<void>> {
  try {
    await writeFile(policyPath, policyText, { flag: 'wx', mode: 0o755 });
  } catch {
    const ours = (await readFile(policyPath, 'utf8').catch(() => '')) === policyText;
    if (!ours) return async () => {};
  }
  return async () => await unlink(policyPath).catch(() => {});
}

async function haveCandidates(packages: readonly string[], signal: AbortSignal): Promise<boolean> {
  const { stdout } = await run('apt-cache', ['policy', ...packages], signal, 60_000);
  return (stdout.match(/^ {2}Candidate: (?!\(none\))/gm) ?? []).length === packages.length;
}

async function updateLists(reporter: Reporter, signal: AbortSignal): Promise<void> {
  reporter.step('packages', 'apt-get update');
  const until = performance.now() + lockLimitMs;
  for (;;) {
    const result = await run('apt-get', ['update'], signal, installLimitMs);
    // A failing third-party source is no reason to stop: the installation reports what is missing. Unlike dpkg's lock,
    // that of the lists has no timeout option.
    if (!/Could not get lock/.test(result.all) || performance.now() > until) return;
    await sleep(1000, undefined, { signal });
  }
}

async function install(packages: readonly string[], signal: AbortSignal): Promise<HarnessError | undefined> {
  const args = ['-o', `DPkg::Lock::Timeout=${lockLimitMs / 1000}`, 'install', '--yes', '--no-install-recommends'];
  signal.throwIfAborted();
  // An interrupted dpkg needs repair by hand, so an abort waits for it, and Ctrl-C does not reach it.
  const result = await run('apt-get', [...args, ...packages], undefined, installLimitMs);
  signal.throwIfAborted();
  return result.failed ? explainApt(packages, result.all) : undefined;
}

/** The error for a failed apt-get, with the remedy that its output calls for. */
export function explainApt(packages: readonly string[], output: string): HarnessError {
  const what = `apt-get install ${packages.join(' ')}`;
  const tail = lastLines(output.replace(/^(?!E:|W:|Err:).*$/gm, '')) || lastLines(output);
  if (/Could not get lock|dpkg frontend lock|is another process using it/.test(output)) {
    return new HarnessError('busy', `${what}: another package manager holds the lock`, {
      remedy: 'wait until it is done, then run again',
    });
  }
  if (/Unable to locate package|has no installation candidate/.test(output)) {
    return new HarnessError('package-install', `${what}: ${tail}`, {
      remedy: "enable Debian's main (Ubuntu: universe) component, then run apt-get update",
    });
  }
  if (
    /Temporary failure resolving|Could not (?:connect|resolve)|Unable to connect|Failed to fetch|Connection (?:timed out|refused)/.test(
      output,
    )
  ) {
    return new HarnessError('network', `${what}: ${tail}`, { remedy: 'check the network and the mirrors in /etc/apt' });
  }
  if (/No space left|enough free space/.test(output)) {
    return new HarnessError('disk-full', `${what}: no space left`, { remedy: 'free some disk space' });
  }
  return new HarnessError('package-install', `${what}: ${tail}`, { remedy: 'run it by hand to see why' });
}

async function run(command: string, args: string[], signal: AbortSignal | undefined, timeoutMs: number) {
  const env = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8', NEEDRESTART_SUSPEND: '1' };
  return await execa(command, args, {
    env,
    all: true,
    reject: false,
    timeout: timeoutMs,
    ...(signal === undefined ? { detached: true } : { cancelSignal: signal }),
    stdin: 'ignore',
  });
}
