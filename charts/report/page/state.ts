/** What the reader has chosen. It lives in the address, so that a link shows what its sender saw. */
export interface State {
  /** Parts of names; empty: all. */
  readonly workload: string;
  /** Empty: all. */
  readonly category: readonly string[];
  /** Empty: all. */
  readonly mode: readonly string[];
  /** A link's id; empty: all. */
  readonly link: string;
  /** A column's key, with `-` in front for descending; empty: as measured. */
  readonly sort: string;
  /** The cell whose drawer is open. */
  readonly cell: string;
  /** Empty: as the system is. */
  readonly theme: string;
}

const lists = ['category', 'mode'] as const;
const words = ['workload', 'link', 'sort', 'cell', 'theme'] as const;

export function readState(hash: string): State {
  const parameters = new URLSearchParams(hash.replace(/^#/, ''));
  const entries = [
    ...words.map((key) => [key, parameters.get(key) ?? ''] as const),
    ...lists.map((key) => [key, (parameters.get(key) ?? '').split(',').filter((item) => item !== '')] as const),
  ];
  return Object.fromEntries(entries) as unknown as State;
}

/** The address's part from # on; empty where nothing is chosen. */
export function writeState(state: State): string {
  const parameters = new URLSearchParams();
  for (const key of [...words, ...lists]) {
    const value = String(state[key]);
    if (value !== '') parameters.set(key, value);
  }
  const text = parameters.toString().replaceAll('%2C', ',').replaceAll('%7C', '|').replaceAll('%3A', ':');
  return text === '' ? '' : `#${text}`;
}
