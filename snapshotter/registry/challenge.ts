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
 * Every challenge of one header or of several; a header may itself hold several, parted by the same comma that parts
 * parameters. What cannot be read ends the parsing of that header: challenges read until there are kept.
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
      // A repeated parameter is an error of the server; the first one stands.
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
      continue;
    }

    position = afterName;
    parameters = new Map();
    found.push({ scheme: name.toLowerCase(), parameters });
    // `Negotiate dG9rZW4=`: a bare token68 instead of parameters. A lone word before a comma could also be that.
    if (take(space) !== null) take(token68);
  }
}
