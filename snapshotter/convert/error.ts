import { TarError } from '../tar/error.ts';

export type ConvertErrorCode =
  | 'malformed-layer'
  | 'unsupported-layer'
  | 'unsupported-image'
  | 'other-platform'
  | 'malformed-accesses'
  | 'unknown-layer'
  | 'invalid-option'
  | 'recording';

/** Why a conversion failed: the message names the operation, the object and the remedy. */
export class ConvertError extends Error {
  override readonly name = 'ConvertError';
  readonly code: ConvertErrorCode;

  constructor(code: ConvertErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export function malformed(what: string): ConvertError {
  return new ConvertError(
    'malformed-layer',
    `cannot read the layer's tar: ${what}; pull the image again or rebuild it`,
  );
}

/** A TarError as the layer's; anything else as it is. */
export function ofLayer(error: unknown): unknown {
  if (!(error instanceof TarError)) return error;
  if (error.code === 'malformed') return malformed(error.detail);
  return new ConvertError(
    'unsupported-layer',
    `cannot convert the layer: ${error.detail}; write it with tar --format=posix and build the image again`,
  );
}
