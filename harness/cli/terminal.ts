import { relative, resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** Escape sequences of ECMA-48, and the width of text between them. */

export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  yellow(text: string): string;
  green(text: string): string;
  cyan(text: string): string;
}

export function createPaint(color: boolean): Paint {
  const style = (open: number, close: number) => (text: string) =>
    color && text !== '' ? `\x1b[${open}m${text}\x1b[${close}m` : text;
  return {
    bold: style(1, 22),
    dim: style(2, 22),
    red: style(31, 39),
    yellow: style(33, 39),
    green: style(32, 39),
    cyan: style(36, 39),
  };
}

export const hideCursor = '\x1b[?25l';
export const showCursor = '\x1b[?25h';

/** Moves the cursor up to the start of a block of `count` lines and clears everything from there. */
export function eraseLines(count: number): string {
  return count === 0 ? '' : `\x1b[${count}A\r\x1b[J`;
}

/** Cut to `width` columns. Escape sequences count as none, every other character as one. */
export function truncate(text: string, width: number): string {
  let visible = 0;
  let result = '';
  for (const part of text.split(escapePattern)) {
    if (part.startsWith('\x1b')) {
      result += part;
      continue;
    }
    const room = width - visible;
    if (part.length <= room) {
      result += part;
      visible += part.length;
    } else if (room > 0) {
      result += `${part.slice(0, room - 1)}…`;
      visible = width;
    }
  }
  return result;
}

/** Columns, without escape sequences. */
export function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Relative to the working directory if it lies below it, absolute otherwise. */
export function formatPath(path: string): string {
  const fromHere = relative('', path);
  return fromHere.startsWith('..') ? resolve(path) : fromHere || '.';
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what an escape sequence starts with
const escapePattern = /(\x1b\[[0-9;?]*[A-Za-z])/;
