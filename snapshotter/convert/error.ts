export type ConvertErrorCode =
  | 'malformed-layer'
  | 'unsupported-layer'
  | 'unsupported-image'
  | 'malformed-accesses'
  | 'unknown-layer'
  | 'invalid-option';

/** Why a conversion failed: the message names the operation, the object and the remedy. */
export class ConvertError extends Error {
  override readonly name = 'ConvertError';
  readonly code: ConvertErrorCode;

  constructor(code: ConvertErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
