/** Trees created on disk and packed by GNU tar: input that does not depend on this project's own writer. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export type SourceNode =
  | { readonly kind: 'file'; readonly path: string; readonly content: Buffer; readonly mode?: number }
  | { readonly kind: 'dir'; readonly path: string }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | { readonly kind: 'hardlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'hole';
      readonly path: string;
      readonly sizeBytes: number;
      readonly parts?: readonly { readonly offset: number; readonly content: Buffer }[];
    }
  | { readonly kind: 'fifo'; readonly path: string };

export interface TarOptions {
  readonly format?: 'gnu' | 'posix' | 'ustar';
  readonly extraArguments?: readonly string[];
}

/** Packs the tree as a tar with its root as `./`. */
export function packTree(nodes: readonly SourceNode[], options: TarOptions = {}): Buffer {
  const top = mkdtempSync(join(tmpdir(), 'convert-tree-'));
  try {
    for (const node of nodes) {
      const path = join(top, node.path);
      mkdirSync(dirname(path), { recursive: true });
      switch (node.kind) {
        case 'dir':
          mkdirSync(path, { recursive: true });
          break;
        case 'file':
          writeFileSync(path, node.content, { mode: node.mode ?? 0o644 });
          break;
        case 'symlink':
          symlinkSync(node.target, path);
          break;
        case 'hardlink':
          linkSync(join(top, node.target), path);
          break;
        case 'hole':
          writeFileSync(path, '');
          truncateSync(path, node.sizeBytes);
          for (const { offset, content } of node.parts ?? []) writeAt(path, offset, content);
          break;
        case 'fifo':
          execFileSync('mkfifo', [path]);
          break;
      }
      if (node.kind !== 'dir') lutimesSync(path, 1_600_000_000, 1_600_000_000.25);
    }
    const format = `--format=${options.format ?? 'posix'}`;
    const extra = options.extraArguments ?? [];
    const args = ['--create', '--file=-', '--sort=name', format, ...extra, `--directory=${top}`, '.'];
    return execFileSync('tar', args, { maxBuffer: 1 << 30 });
  } finally {
    rmSync(top, { recursive: true, force: true });
  }
}

function writeAt(path: string, offset: number, content: Buffer): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, content, 0, content.length, offset);
  } finally {
    closeSync(fd);
  }
}

/** GNU tar's verbose listing of a plain, gzip or zstd tar: type, mode, owner, size, time, name, link. */
export function listTar(path: string): string[] {
  const args = ['--list', '--verbose', '--verbose', '--full-time', '--numeric-owner', '--utc', `--file=${path}`];
  return execFileSync('tar', args, { encoding: 'utf8', maxBuffer: 1 << 28 })
    .split('\n')
    .filter((line) => line !== '')
    .map(collapseColumns);
}

/** GNU tar widens its columns as it goes, so the padding of an entry depends on the order of entries. */
function collapseColumns(line: string): string {
  const nameStart = line.indexOf(' ./');
  return nameStart < 0 ? line : line.slice(0, nameStart).trimEnd().replace(/ +/g, ' ') + line.slice(nameStart);
}
