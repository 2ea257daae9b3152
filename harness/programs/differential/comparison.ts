import type { ListedEntry } from '../equality/tree.ts';

export interface Difference {
  readonly name: string;
  /** A field of the listing, or `missing` / `extra` for the entry as a whole. */
  readonly field: string;
  readonly expected: string;
  readonly got: string;
}

/**
 * A tree as containerd unpacked it, and between which times: what has its time from unpacking has none that others could
 * have.
 */
export interface ReferenceTree {
  readonly entries: readonly ListedEntry[];
  readonly startedMs: number;
  readonly endedMs: number;
}

/** Clocks of file systems are coarse. */
const slackMs = 50;

export function compareTrees(reference: ReferenceTree, got: readonly ListedEntry[]): Difference[] {
  const differences: Difference[] = [];
  const left = new Map(got.map((entry) => [entry.name, entry]));
  for (const expected of reference.entries) {
    const entry = left.get(expected.name);
    left.delete(expected.name);
    if (entry === undefined) {
      differences.push({ name: expected.name, field: 'missing', expected: expected.mode, got: '' });
      continue;
    }
    const fields = new Set([...Object.keys(expected), ...Object.keys(entry)]) as Set<keyof ListedEntry>;
    for (const field of fields) {
      if (field === 'mtime' && isOfUnpacking(expected.mtime, reference)) continue;
      const [want, has] = [JSON.stringify(expected[field]) ?? '', JSON.stringify(entry[field]) ?? ''];
      if (want !== has) differences.push({ name: expected.name, field, expected: want, got: has });
    }
  }
  for (const { name, mode } of left.values()) differences.push({ name, field: 'extra', expected: '', got: mode });
  return differences;
}

function isOfUnpacking(mtime: string | undefined, { startedMs, endedMs }: ReferenceTree): boolean {
  const ms = Number(mtime) / 1e6;
  return ms >= startedMs - slackMs && ms <= endedMs + slackMs;
}

export function describeDifference({ name, field, expected, got }: Difference): string {
  return `${JSON.stringify(`/${name}`)} ${field}: ${expected || '-'} | ${got || '-'}`;
}
