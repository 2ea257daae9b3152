import { FormatError, type FormatErrorCode } from '../estargz/error.ts';
import type { Footer } from '../estargz/footer.ts';
import type { Digest } from '../registry/digest.ts';
import type { BuildOptions, BuiltTree } from '../tree/build.ts';
import type { SharedLayerMemory } from './tree-memory.ts';

/** Between builder.ts on the main thread and worker.ts. */

export interface BuildJob {
  readonly kind: 'build';
  readonly toc: Uint8Array;
  readonly footer: Footer;
  readonly opaqueXattr: BuildOptions['opaqueXattr'];
  readonly isLowest: boolean;
  readonly memory: SharedLayerMemory;
}

export interface ImageJob {
  readonly kind: 'image';
  readonly directory: string;
  readonly table: SharedArrayBuffer;
  readonly view: string;
}

export type Job = BuildJob | ImageJob;

export interface Results {
  readonly build: {
    readonly tree: Omit<BuiltTree, 'table'>;
    readonly table: SharedArrayBuffer;
    readonly tocDigest: Digest;
    readonly packedTocDigest?: Digest;
  };
  readonly image: string;
}

/** Jobs of one lane are done in order; lanes take turns. */
export type MessageToBuilder = { readonly id: number; readonly lane: string; readonly job: Job };

export type MessageFromBuilder =
  | { readonly id: number; readonly result: Results[keyof Results] }
  | { readonly id: number; readonly error: EncodedError };

/** A clone would lose an error's class and code. */
export interface EncodedError {
  readonly format: { readonly code: FormatErrorCode; readonly entry: string | undefined } | undefined;
  readonly message: string;
  /** Of a system error. */
  readonly code: string | undefined;
}

export function encodeError(error: unknown): EncodedError {
  const { message, code } = error instanceof Error ? (error as NodeJS.ErrnoException) : { message: String(error) };
  const format = error instanceof FormatError ? { code: error.code, entry: error.entry } : undefined;
  return { format, message, code: format === undefined ? code : undefined };
}

export function decodeError({ format, message, code }: EncodedError): Error {
  if (format !== undefined) return Object.assign(new FormatError(format.code, message), { entry: format.entry });
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}
