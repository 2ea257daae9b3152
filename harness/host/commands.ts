import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';

/** Debian installs daemons here, and a user's PATH often lacks them. */
const systemDirs = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

export function searchPath(): string[] {
  return [...(process.env.PATH ?? '').split(':').filter((dir) => dir !== ''), ...systemDirs];
}

/** The full path of an executable on the search path, or undefined. */
export async function findCommand(name: string): Promise<string | undefined> {
  for (const dir of searchPath()) {
    const path = join(dir, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}
