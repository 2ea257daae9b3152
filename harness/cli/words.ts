import { UsageError } from './quantity.ts';

/** A command in one text, as words: separated by spaces, with quotes and backslashes as a shell reads them, and nothing expanded. */
export function splitWords(option: string, text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  const pattern = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\([\s\S])|([^\s'"\\]+)|(['"\\])/g;
  for (const [piece, single, double, escaped, plain, open] of text.matchAll(pattern)) {
    if (open !== undefined) throw new UsageError(`${option} has ${open} without its end: ${text}`);
    if (piece.trim() === '' && escaped === undefined) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    word = (word ?? '') + (single ?? double?.replaceAll(/\\(["\\$`])/g, '$1') ?? escaped ?? plain ?? '');
  }
  if (word !== undefined) words.push(word);
  if (words.length === 0) throw new UsageError(`${option} needs a command`);
  return words;
}

/** The words as one text that a shell reads as them. */
export function joinWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
