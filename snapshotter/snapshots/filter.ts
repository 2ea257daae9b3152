import { SnapshotError } from './error.ts';
import type { Info } from './record.ts';

/**
 * containerd's filter language (grammar: its pkg/filters). All selectors of a filter must match; of several filters, any.
 *
 *     selectors = selector *("," selector)
 *     selector  = fieldpath [operator value]         without operator: the field is present
 *     fieldpath = field *("." field)
 *     operator  = "==" | "!=" | "~="                 ~= is a regular expression that matches anywhere
 *     value     = quoted | any characters but space and ","
 */
export interface Filter {
  readonly selectors: readonly Selector[];
}

export interface Selector {
  readonly path: readonly string[];
  readonly operator: 'present' | '==' | '!=' | '~=';
  readonly value: string;
  readonly pattern?: RegExp;
}

/** Throws SnapshotError 'invalid-argument' that names the position of the mistake. */
export function parseFilter(text: string): Filter {
  if (text === '') return { selectors: [] };
  const cursor: Cursor = { text, at: 0 };
  const selectors = [parseSelector(cursor)];
  while (cursor.at < text.length) {
    if (text[cursor.at] !== ',') throw fail(cursor, 'expected "," between selectors');
    cursor.at++;
    selectors.push(parseSelector(cursor));
  }
  return { selectors };
}

/** An empty list matches everything. */
export function matchesAny(filters: readonly Filter[], info: Info): boolean {
  return (
    filters.length === 0 || filters.some((filter) => filter.selectors.every((selector) => matches(selector, info)))
  );
}

/** The value that the filter requires at `path`, if it requires one; lets the store use an index. */
export function fixedValue(filter: Filter, path: readonly string[]): string | undefined {
  const wanted = path.join('.');
  return filter.selectors.find((selector) => selector.operator === '==' && selector.path.join('.') === wanted)?.value;
}

function matches(selector: Selector, info: Info): boolean {
  const value = readField(info, selector.path);
  switch (selector.operator) {
    case 'present':
      return value !== undefined;
    case '==':
      return value === selector.value;
    // A missing field compares as the empty string.
    case '!=':
      return (value ?? '') !== selector.value;
    case '~=':
      return selector.pattern!.test(value ?? '');
  }
}

function readField(info: Info, path: readonly string[]): string | undefined {
  switch (path[0]) {
    case 'name':
      return info.name;
    case 'parent':
      return info.parent;
    case 'kind':
      return info.kind;
    case 'labels': {
      const key = path.slice(1).join('.');
      return Object.hasOwn(info.labels, key) ? info.labels[key] : undefined;
    }
    default:
      return undefined;
  }
}

interface Cursor {
  readonly text: string;
  at: number;
}

const operators = ['==', '!=', '~='] as const;

function parseSelector(cursor: Cursor): Selector {
  const path = [parseField(cursor)];
  while (cursor.text[cursor.at] === '.') {
    cursor.at++;
    path.push(parseField(cursor));
  }
  if (cursor.at === cursor.text.length || cursor.text[cursor.at] === ',')
    return { path, operator: 'present', value: '' };
  const operator = operators.find((candidate) => cursor.text.startsWith(candidate, cursor.at));
  if (operator === undefined) throw fail(cursor, 'expected ==, != or ~=');
  cursor.at += operator.length;
  const start = cursor.at;
  const value = parseValue(cursor, operator === '~=');
  if (operator !== '~=') return { path, operator, value };
  try {
    return { path, operator, value, pattern: compilePattern(value) };
  } catch {
    throw fail({ ...cursor, at: start }, 'not a regular expression');
  }
}

/** Go has flags as a prefix of the expression, `(?i)`; JavaScript as a separate argument. */
function compilePattern(text: string): RegExp {
  const flags = /^\(\?([ims]+)\)/.exec(text);
  return new RegExp(flags === null ? text : text.slice(flags[0].length), `u${flags?.[1] ?? ''}`);
}

function parseField(cursor: Cursor): string {
  if (cursor.text[cursor.at] === '"') return parseQuoted(cursor);
  return take(cursor, /[A-Za-z_][A-Za-z0-9_]*/y, 'expected a field name');
}

/** A regular expression may also be delimited by slashes or bars, so that quotes need no escaping. */
function parseValue(cursor: Cursor, isPattern: boolean): string {
  const first = cursor.text[cursor.at];
  if (first === '"' || first === "'") return parseQuoted(cursor);
  if (isPattern && (first === '/' || first === '|')) return parseQuoted(cursor);
  return take(cursor, /[^\s,"]+/y, 'expected a value');
}

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Go's string syntax: clients format keys with %q. */
function parseQuoted(cursor: Cursor): string {
  const quote = cursor.text[cursor.at];
  const start = cursor.at;
  const bytes: Buffer[] = [];
  cursor.at++;
  for (;;) {
    const plain = /[^\\"'/|]+/y;
    plain.lastIndex = cursor.at;
    const run = plain.exec(cursor.text)?.[0] ?? '';
    cursor.at += run.length;
    bytes.push(Buffer.from(run));
    const character = cursor.text[cursor.at];
    if (character === undefined) throw fail({ ...cursor, at: start }, 'the quote is not closed');
    cursor.at++;
    if (character === quote) return Buffer.concat(bytes).toString();
    bytes.push(character === '\\' ? parseEscape(cursor, quote!) : Buffer.from(character));
  }
}

function parseEscape(cursor: Cursor, quote: string): Buffer {
  const letter = cursor.text[cursor.at] ?? '';
  if (letter === '\\' || letter === quote) {
    cursor.at++;
    return Buffer.from(letter);
  }
  // Within /…/ and |…| a backslash is part of the regular expression.
  if (quote === '/' || quote === '|') return Buffer.from('\\');
  if (escapes[letter] !== undefined) {
    cursor.at++;
    return Buffer.from(escapes[letter]);
  }
  if (letter === 'x') return Buffer.from([Number.parseInt(take(cursor, /x[0-9A-Fa-f]{2}/y, 'bad \\x').slice(1), 16)]);
  if (letter === 'u' || letter === 'U') {
    const digits = take(cursor, letter === 'u' ? /u[0-9A-Fa-f]{4}/y : /U[0-9A-Fa-f]{8}/y, 'bad \\u').slice(1);
    const code = Number.parseInt(digits, 16);
    if (code > 0x10ffff) throw fail(cursor, 'no such character');
    return Buffer.from(String.fromCodePoint(code));
  }
  const octal = take(cursor, /[0-7]{3}/y, 'unknown escape');
  return Buffer.from([Number.parseInt(octal, 8) & 0xff]);
}

function take(cursor: Cursor, pattern: RegExp, complaint: string): string {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0];
  if (found === undefined) throw fail(cursor, complaint);
  cursor.at += found.length;
  return found;
}

function fail(cursor: Cursor, complaint: string): SnapshotError {
  const text = cursor.text.length > 200 ? `${cursor.text.slice(0, 200)}…` : cursor.text;
  return new SnapshotError(
    'invalid-argument',
    text,
    `filter ${JSON.stringify(text)}: ${complaint} at character ${cursor.at + 1}; a filter is name==x,labels."a/b"==c`,
  );
}
