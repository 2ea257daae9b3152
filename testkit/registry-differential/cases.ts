import type { RequestKind } from '../registry-simulator/exchange.ts';
import { type Fault, faults } from '../registry-simulator/faults.ts';

/** The code under test: the client's calls, the daemon's path from label to content, a conversion. */
export type Subject = 'client' | 'layer' | 'converter';

/**
 * `alone`: both faults in one registry. `mirrored`: the first in a mirror, the second in the registry behind it.
 */
export type Layout = 'alone' | 'mirrored';

export interface Case {
  readonly subject: Subject;
  readonly layout: Layout;
  readonly first: Fault;
  readonly second: Fault | undefined;
}

export const subjects: readonly Subject[] = ['client', 'layer', 'converter'];

const asked: Readonly<Record<Subject, readonly RequestKind[]>> = {
  client: ['manifest', 'blob', 'token'],
  layer: ['blob', 'token'],
  converter: ['manifest', 'blob', 'token', 'look', 'mount', 'upload', 'tag'],
};

/** Every fault that the subject's requests can meet, alone and in pairs; a mirror gets read faults only. */
export function casesOf(subject: Subject): Case[] {
  const kinds = asked[subject] ?? [];
  const met = faults.filter(({ on }) => on.some((kind) => kinds.includes(kind)));
  const atMirrors = met.filter(({ on }) => on.some((kind) => kind === 'manifest' || kind === 'blob'));
  const cases: Case[] = [];
  for (const [index, first] of met.entries()) {
    for (const second of [undefined, ...met.slice(index + 1)]) {
      cases.push({ subject, layout: 'alone', first, second });
    }
  }
  for (const first of atMirrors) {
    for (const second of [undefined, ...met]) cases.push({ subject, layout: 'mirrored', first, second });
  }
  return cases;
}

/** `layer/mirrored/range-416+reset-twice` */
export function nameOf({ subject, layout, first, second }: Case): string {
  return `${subject}/${layout}/${first.name}${second === undefined ? '' : `+${second.name}`}`;
}

/** The case with this name; throws if there is none. */
export function caseNamed(name: string): Case {
  const one = casesOf(name.split('/')[0] as Subject).find((candidate) => nameOf(candidate) === name);
  if (one === undefined) throw new Error(`no case is named ${name}`);
  return one;
}

/** Whether the right bytes are due, since a correct client can overcome the faults. */
export function mustSucceed({ layout, first, second }: Case): boolean {
  const isSecondHarmless = second === undefined || second.harmless;
  if (layout === 'alone' && isHopeless(first, second)) return false;
  return isSecondHarmless && (layout === 'mirrored' || first.harmless);
}

/** Harmless alone, hopeless together: without ranges, a body that is always cut never reaches its end. */
function isHopeless(first: Fault, second: Fault | undefined): boolean {
  const names = [first.name, second?.name];
  return names.includes('cut-late') && names.some((name) => name?.startsWith('range-whole') === true);
}

/** Draws `count` cases without replacement, or all if there are fewer. */
export function sample<T>(cases: readonly T[], count: number, share: () => number): T[] {
  const rest = [...cases];
  const drawn: T[] = [];
  while (drawn.length < count && rest.length > 0) {
    const at = Math.floor(share() * rest.length);
    drawn.push(rest[at]!);
    rest[at] = rest.at(-1)!;
    rest.pop();
  }
  return drawn;
}
