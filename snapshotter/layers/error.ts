import { FormatError } from '../estargz/error.ts';
import { RegistryError } from '../registry/error.ts';
import { StoreError } from '../store/error.ts';

export type LayerErrorReason =
  /** An ordinary layer without a footer, one with an external TOC, or one that only unpacking can show. */
  | 'not-lazy'
  /** No TOC digest to verify against, and the configuration requires one. */
  | 'unverified'
  | 'toc-digest-mismatch'
  /** The footer, the TOC or the tree it describes is impossible. */
  | 'corrupt'
  | 'unreachable'
  | 'unauthorized'
  /** Over a size or memory limit. */
  | 'limit'
  /** A local disk error. */
  | 'disk'
  /** The manager is closing. */
  | 'closed';

/** Why a layer could not be mounted lazily. */
export class LayerError extends Error {
  override readonly name = 'LayerError';
  readonly reason: LayerErrorReason;
  readonly digest: string;

  constructor(reason: LayerErrorReason, digest: string, message: string, cause?: unknown) {
    super(`mount layer ${digest}: ${message}`, cause === undefined ? undefined : { cause });
    this.reason = reason;
    this.digest = digest;
  }
}

/** Wraps any error of a mount with the reason that it stands for. */
export function asLayerError(digest: string, error: unknown): LayerError {
  if (error instanceof LayerError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new LayerError(reasonOf(error), digest, message, error);
}

function reasonOf(error: unknown): LayerErrorReason {
  if (error instanceof RegistryError) return error.code === 'unauthorized' ? 'unauthorized' : 'unreachable';
  if (error instanceof FormatError) {
    if (error.code === 'limit') return 'limit';
    return error.code === 'unsupported' ? 'not-lazy' : 'corrupt';
  }
  if (error instanceof StoreError)
    return error.code === 'disk' ? 'disk' : error.code === 'closed' ? 'closed' : 'corrupt';
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EROFS' ? 'disk' : 'unreachable';
}
