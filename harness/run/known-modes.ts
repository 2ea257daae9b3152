import { selectNamed } from '../cli/arguments.ts';
import { UsageError } from '../cli/quantity.ts';
import type { Mode } from './mode.ts';

/** The modes that a run may name. */
export interface KnownModes {
  /** What is run unless others are named. */
  readonly defaults: readonly Mode[];
  /** In the order of tables and charts. */
  readonly all: readonly Mode[];
  /** Names that stand for several. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
}

/** The modes named in `asked`, in the order of `all`. Throws UsageError on an unknown name, and lists the known ones. */
export function selectModes({ defaults, all, groups }: KnownModes, asked: readonly string[] | undefined): Mode[] {
  if (asked === undefined) return [...defaults];
  const names = asked.flatMap((name) => groups[name] ?? [name]);
  const unknown = names.find((name) => !all.some((mode) => mode.name === name));
  if (unknown === undefined) return selectNamed('mode', all, names);
  const first = all.filter((mode) => !mode.name.includes('+')).map((mode) => mode.name);
  const suffixes = [...new Set(all.flatMap(({ name }) => (name.includes('+') ? [name.slice(name.indexOf('+'))] : [])))];
  const second = suffixes.length === 0 ? '' : `; each also with ${suffixes.join(' or ')}`;
  throw new UsageError(`unknown mode '${unknown}'; modes: ${[...first, ...Object.keys(groups)].join(', ')}${second}`);
}
