/** One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1); scheme and parameter names in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const token68 = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y;
const separator = /[\s,]*/y;
const equals = /\s*=\s*/y;
const space = /[ \t]+/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;

/**
 * The challenges of one or more headers. A header may hold several, separated by the same comma as parameters. Parsing of
 * a header stops where it is malformed; the challenges before that are kept.
 */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  if (header === undefined) return [];
  return (typeof header === 'string' ? [header] : header).flatMap(parseHeader);
}

function parseHeader(text: string): Challenge[] {
  const found: Challenge[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match !== null) position = pattern.lastIndex;
    return match;
  };

  let parameters: Map<string, string> | undefined;
  for (;;) {
    take(separator);
    const name = take(token)?.[0];
    if (name === undefined) return found;

    const afterName = position;
    if (parameters !== undefined && take(equals) !== null) {
      const value = take(quoted)?.[1]?.replace(/\\(.)/g, '$1') ?? take(token)?.[0];
      if (value === undefined) return found;
      // Servers must not repeat a parameter; the first one counts.
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
      continue;
    }

    position = afterName;
    parameters = new Map();
    found.push({ scheme: name.toLowerCase(), parameters });
    // `Negotiate dG9rZW4=`: a bare token68 instead of parameters. A single word before a comma is ambiguous.
    if (take(space) !== null) take(token68);
  }
}
