import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One source of binary packages: a line of sources.list(5), or one combination of a deb822 stanza. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
}

export interface HostRelease {
  /** ID of os-release: "debian", "ubuntu". */
  readonly id: string;
  /** VERSION_CODENAME: "bookworm", "noble". */
  readonly codename: string;
}

const publicMirror = { main: 'http://deb.debian.org/debian', security: 'http://deb.debian.org/debian-security' };

/** Reads the sources below /etc/apt, in both formats of sources.list(5). */
export async function readAptSources(aptDir = '/etc/apt'): Promise<AptSource[]> {
  const parts = await readdir(join(aptDir, 'sources.list.d')).catch(() => []);
  const files = ['sources.list', ...parts.sort().map((name) => join('sources.list.d', name))];
  const sources: AptSource[] = [];
  for (const name of files) {
    const parse = name.endsWith('.sources') ? parseDeb822 : name.endsWith('.list') ? parseOneLine : undefined;
    if (parse === undefined) continue;
    const text = await readFile(join(aptDir, name), 'utf8').catch(() => '');
    sources.push(...parse(text));
  }
  return sources;
}

/** `deb [option=value ...] uri suite component...`; deb-src lines and comments are skipped. */
export function parseOneLine(text: string): AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)([^#]*)/.exec(line);
    if (match === null) return [];
    return [{ uri: match[1]!, suite: match[2]!, components: words(match[3]!) }];
  });
}

/** Stanzas of `Field: value`, continued on indented lines. Each URI is combined with each suite. */
export function parseDeb822(text: string): AptSource[] {
  const withoutComments = text.replace(/^#.*(?:\n|$)/gm, '');
  return withoutComments.split(/\n[ \t]*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>();
    for (const match of stanza.matchAll(/^([A-Za-z0-9-]+):((?:.*)(?:\n[ \t]+.*)*)/gm)) {
      fields.set(match[1]!.toLowerCase(), match[2]!);
    }
    if (!words(fields.get('types')).includes('deb')) return [];
    if (/^\s*(?:no|false|0|off)\s*$/i.test(fields.get('enabled') ?? '')) return [];
    const components = words(fields.get('components'));
    return words(fields.get('uris')).flatMap((uri) =>
      words(fields.get('suites')).map((suite) => ({ uri, suite, components })),
    );
  });
}

/**
 * The mirrors to download Debian `suite` from: those that this host uses if it is Debian, of whatever suite; else Debian's
 * public ones.
 */
export function debianMirrors(suite: string, host: HostRelease, sources: readonly AptSource[]): AptSource[] {
  const find = (own: string) =>
    sources.find(
      (source) =>
        source.suite.replace(/\/$/, '') === own && source.components.includes('main') && /^https?:/.test(source.uri),
    )?.uri;
  const isDebian = host.id === 'debian';
  const main = (isDebian ? (find(host.codename) ?? find('stable')) : undefined) ?? publicMirror.main;
  const security =
    (isDebian ? (find(`${host.codename}-security`) ?? find('stable-security')) : undefined) ??
    (main === publicMirror.main ? publicMirror.security : undefined);
  const components = ['main'];
  return [
    { uri: main, suite, components },
    { uri: main, suite: `${suite}-updates`, components },
    ...(security === undefined ? [] : [{ uri: security, suite: `${suite}-security`, components }]),
  ];
}

export async function readHostRelease(path = '/etc/os-release'): Promise<HostRelease> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return { id: field('ID'), codename: field('VERSION_CODENAME') };
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(/\s+/).filter((word) => word !== '');
}
