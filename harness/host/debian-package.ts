import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HarnessError, lastLines } from '../cli/error.ts';
import { debianMirrors, readAptSources, readHostRelease } from './apt-sources.ts';

export interface DebianPackageRequest {
  readonly name: string;
  /** "bookworm", "trixie", "sid"; may differ from the host's. */
  readonly suite: string;
  /** Unpacked packages stay here and are used again without the network. Delete it to follow the suite. */
  readonly cacheDir: string;
  /** A line of sources.list(5). Default: the mirror of this host's own configuration, checked with Debian's key. */
  readonly source?: string | undefined;
}

export interface DebianPackage {
  readonly version: string;
  /** The directory that holds the package's files as they would lie below `/`. */
  readonly root: string;
}

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const downloadLimitMs = 180_000;
const unpackLimitMs = 60_000;

/**
 * Downloads a package of a Debian suite and unpacks it into a directory. Nothing is installed, dependencies are not
 * fetched, and the host's apt lists are not touched. apt-get checks the suite's signature and the package's digest.
 */
export async function unpackDebianPackage(request: DebianPackageRequest, signal: AbortSignal): Promise<DebianPackage> {
  const home = join(request.cacheDir, request.suite);
  const cached = await findUnpacked(home, request.name);
  if (cached !== undefined) return cached;
  await mkdir(home, { recursive: true });
  // On the same file system, so that a rename publishes it atomically: two processes may do this at once.
  const scratch = await mkdtemp(join(home, '.download-'));
  try {
    const file = await download(request, scratch, signal);
    const root = join(scratch, 'root');
    await execa('dpkg-deb', ['-x', join(scratch, file), root], { timeout: unpackLimitMs, cancelSignal: signal });
    await rename(root, join(home, file.slice(0, -'.deb'.length))).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  const unpacked = await findUnpacked(home, request.name);
  if (unpacked !== undefined) return unpacked;
  throw new HarnessError('package-install', `unpacked ${request.name} into ${home}, but it is not there`);
}

/** Parses `name_version_architecture`, the name that apt-get gives the file; %3a stands for a colon in the version. */
export function parsePackageName(file: string): { name: string; version: string } | undefined {
  const match = /^([a-z0-9][a-z0-9+.-]+)_([^_]+)_[a-z0-9-]+$/.exec(file);
  return match === null ? undefined : { name: match[1]!, version: decodeURIComponent(match[2]!) };
}

async function findUnpacked(home: string, name: string): Promise<DebianPackage | undefined> {
  for (const entry of await readdir(home).catch(() => [])) {
    const parsed = parsePackageName(entry);
    if (parsed?.name === name) return { version: parsed.version, root: join(home, entry) };
  }
  return undefined;
}

/** Returns the file's name in `scratch`. */
async function download(request: DebianPackageRequest, scratch: string, signal: AbortSignal): Promise<string> {
  const source = request.source ?? (await debianSource(request.suite));
  const config = join(scratch, 'apt.conf');
  await mkdir(join(scratch, 'lists/partial'), { recursive: true });
  await mkdir(join(scratch, 'cache/archives/partial'), { recursive: true });
  await writeFile(join(scratch, 'sources.list'), `${source}\n`);
  await writeFile(join(scratch, 'status'), '');
  await writeFile(config, formatAptConfig(scratch));
  // A file given with -c is read last (apt.conf(5)): the host's proxies still apply, its sources do not.
  for (const args of [['update'], ['download', request.name]]) {
    const result = await execa('apt-get', ['-c', config, '-q', ...args], {
      cwd: scratch,
      env: { LC_ALL: 'C.UTF-8' },
      all: true,
      reject: false,
      stdin: 'ignore',
      timeout: downloadLimitMs,
      cancelSignal: signal,
    });
    signal.throwIfAborted();
    if (result.failed) throw explainDownload(request, source, result.all || result.shortMessage || '');
  }
  const file = (await readdir(scratch)).find((name) => name.endsWith('.deb'));
  if (file !== undefined && parsePackageName(file.slice(0, -'.deb'.length)) !== undefined) return file;
  throw explainDownload(request, source, 'apt-get left no file');
}

/** `target=Packages` limits apt to the list of binary packages (sources.list(5)). */
async function debianSource(suite: string): Promise<string> {
  const host = await readHostRelease();
  const [main] = debianMirrors(suite, host, await readAptSources());
  await access(keyring).catch((cause) => {
    throw new HarnessError('package-install', `cannot check packages of Debian ${suite}: no ${keyring}`, {
      remedy: 'apt-get install debian-archive-keyring',
      cause,
    });
  });
  return `deb [signed-by=${keyring} target=Packages] ${main!.uri} ${suite} main`;
}

function formatAptConfig(scratch: string): string {
  return `Dir::Etc::SourceList "${scratch}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "${scratch}";
Dir::State::Lists "${scratch}/lists";
Dir::State::Status "${scratch}/status";
Dir::Cache "${scratch}/cache";
// The user _apt could not write into a directory of mode 0700.
APT::Sandbox::User "root";
// By default, update succeeds even if a list could not be fetched.
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
// Hooks of the distribution are meant for the host's own lists.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
`;
}

export function explainDownload(request: DebianPackageRequest, source: string, output: string): HarnessError {
  const tail = lastLines(output.replace(/^(?!E:|W:|Err:).*$/gm, '')) || lastLines(output);
  const where = lastLines(source.replace(/^deb\s+(?:\[[^\]]*\]\s*)?/, ''));
  const message = `cannot download ${request.name} from ${where}: ${tail}`;
  if (/No space left|enough free space/.test(output)) {
    return new HarnessError('disk-full', message, { remedy: `free some disk space below ${request.cacheDir}` });
  }
  if (/Unable to locate package|has no (?:installation )?candidate/.test(output)) {
    return new HarnessError('package-install', message, { remedy: `check that ${request.suite} still has it` });
  }
  return new HarnessError('network', message, {
    remedy:
      `make that mirror reachable (see /etc/apt), or unpack the package by hand: dpkg-deb -x FILE.deb ` +
      `${join(request.cacheDir, request.suite)}/FILE`,
  });
}
