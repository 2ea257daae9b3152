import { join } from 'node:path';
import type { ImageRecipe } from './workload.ts';

/** The images that workloads share without running them themselves, and what each is built on. */
const bases = {
  /** Built by mmdebstrap; the base of every other image. */
  debian: undefined,
  'buildpack-deps': 'debian',
  'buildpack-deps-scm': 'debian',
  /** A JDK. */
  temurin: 'debian',
  /** The tools that build PHP's extensions. */
  'phpize-deps': 'debian',
  /** Debian's Python with numpy. */
  python3: 'debian',
} as const satisfies Readonly<Record<string, string | undefined>>;

export type BaseName = keyof typeof bases;

export const baseNames = Object.keys(bases) as readonly BaseName[];

export function baseRecipe(name: BaseName): ImageRecipe {
  const parent = bases[name];
  const directory = join(import.meta.dirname, 'bases', name);
  return { name, directory, parent: parent === undefined ? undefined : baseRecipe(parent) };
}

export function isBaseName(name: string): name is BaseName {
  return Object.hasOwn(bases, name);
}
