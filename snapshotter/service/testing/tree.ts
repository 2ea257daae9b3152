import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** One line per entry below a directory, with everything that must agree between two mounts of the same content. */
export function describeTree(root: string): string[] {
  const lines: string[] = [];
  const links = new Map<number, string>();
  const visit = (path: string, name: string) => {
    const stat = lstatSync(path);
    const owner = `${stat.uid}:${stat.gid} ${(stat.mode & 0o7777).toString(8)}`;
    if (stat.isDirectory()) {
      lines.push(`${name}/ ${owner}`);
      for (const entry of readdirSync(path).sort()) visit(join(path, entry), `${name}/${entry}`);
    } else if (stat.isSymbolicLink()) lines.push(`${name} -> ${readlinkSync(path)} ${owner}`);
    else if (stat.isFile()) {
      const first = links.get(stat.ino);
      if (stat.nlink > 1) links.set(stat.ino, first ?? name);
      lines.push(`${name} ${owner} ${first === undefined ? readFileSync(path, 'latin1') : `= ${first}`}`);
    } else lines.push(`${name} ${owner} ${stat.rdev}`);
  };
  visit(root, '');
  return lines;
}
