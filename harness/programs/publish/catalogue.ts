export interface Publication {
  /** The npm script. */
  readonly program: string;
  readonly args: readonly string[];
  /** Made only when named by --programs. */
  readonly isExtra?: boolean;
}

/** The runs that README and docs quote, in the order in which they are made; the first is the one on README's first screen. */
export const publications: readonly Publication[] = [
  { program: 'bench', args: ['--samples', '10', '--seed', '20261126'] },
  { program: 'bench:mounts', args: ['--samples', '9', '--cold-samples', '5', '--demand-samples', '3'] },
  { program: 'bench:pull', args: ['--samples', '9'] },
  { program: 'bench:numpy', args: ['--samples', '6'] },
  { program: 'bench:toc', args: ['--samples', '7'] },
  { program: 'hostile', args: ['--seed', '1'] },
  { program: 'equality', args: [] },
  { program: 'bench:memory', args: [], isExtra: true },
  { program: 'bench:peer', args: [], isExtra: true },
  { program: 'bench:floor', args: [], isExtra: true },
  { program: 'bench:whole-read', args: [], isExtra: true },
  { program: 'bench:scale', args: [], isExtra: true },
  { program: 'bench:convert', args: [], isExtra: true },
  { program: 'bench:profile', args: [], isExtra: true },
];
