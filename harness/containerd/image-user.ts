import { lstat, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { HarnessError } from '../cli/error.ts';

/** `process.user` of the OCI runtime spec. */
export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids?: readonly number[];
}

/** "", root, "uid:gid"; undefined for what only the image knows: names, and the group of a user without one. */
export function parseNumericUser(user: string): ContainerUser | undefined {
  if (user === '' || user === 'root' || user === '0') return { uid: 0, gid: 0 };
  const match = /^(\d+|root):(\d+|root)$/.exec(user);
  if (match === null) return undefined;
  const number = (text: string | undefined) => (text === 'root' ? 0 : Number(text));
  return { uid: number(match[1]), gid: number(match[2]) };
}

/**
 * `name` or `name:group` (OCI image-spec, "User"), by /etc/passwd and /etc/group below `root`. Without a group, the user's own
 * and those that list it. Throws HarnessError if there is no such user or group.
 */
export async function findUser(text: string, root: string): Promise<ContainerUser> {
  const [name = '', group] = text.split(':');
  const [users, groups] = await Promise.all(['etc/passwd', 'etc/group'].map((path) => readRows(root, path)));
  const user = users!.find(([login, , uid]) => login === name || uid === name);
  const uid = user === undefined ? Number(name) : Number(user[2]);
  if (!Number.isInteger(uid)) throw unknown('user', name);
  if (group !== undefined) {
    const found = groups!.find(([own, , gid]) => own === group || gid === group)?.[2] ?? group;
    if (!/^\d+$/.test(found)) throw unknown('group', group);
    return { uid, gid: Number(found) };
  }
  const listing = groups!.filter(([, , , members = '']) => user !== undefined && members.split(',').includes(user[0]!));
  const additionalGids = listing.map(([, , gid]) => Number(gid)).filter(Number.isInteger);
  return { uid, gid: Number(user?.[3] ?? 0), ...(additionalGids.length === 0 ? {} : { additionalGids }) };
}

function unknown(kind: string, name: string): HarnessError {
  return new HarnessError('unsupported-image', `cannot run the image: it has no ${kind} ${JSON.stringify(name)}`, {
    remedy: 'name one with --user UID:GID',
  });
}

const maxFileBytes = 1 << 20;

/** The fields of passwd(5) and group(5); nothing where there is no such file. */
async function readRows(root: string, path: string): Promise<string[][]> {
  const found = await resolveBelow(root, path);
  if (found === undefined || (await lstat(found)).size > maxFileBytes) return [];
  return (await readFile(found, 'utf8')).split('\n').map((line) => line.split(':'));
}

const maxLinks = 40;

/** Follows links as they would be inside `root`: one to /etc/passwd must not lead to the host's. */
async function resolveBelow(root: string, path: string): Promise<string | undefined> {
  const left = path.split('/');
  let at: string[] = [];
  for (let links = 0; left.length > 0; ) {
    const name = left.shift()!;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      at.pop();
      continue;
    }
    const full = join(root, ...at, name);
    const found = await lstat(full).catch(() => undefined);
    if (found === undefined) return undefined;
    if (!found.isSymbolicLink()) {
      at.push(name);
      continue;
    }
    if (++links > maxLinks) return undefined;
    const target = await readlink(full);
    if (target.startsWith('/')) at = [];
    left.unshift(...target.split('/'));
  }
  const full = join(root, ...at);
  return (await lstat(full)).isFile() ? full : undefined;
}
