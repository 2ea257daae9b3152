export type ImageErrorCode =
  | 'invalid-location'
  | 'not-found'
  | 'malformed'
  | 'unsupported'
  | 'digest-mismatch'
  | 'engine';

/** Why an image outside a registry cannot be read or written: the message names the image, the reason and the remedy. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
  readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, options?: { cause?: unknown }) {
    super(message.replaceAll(/\s*\p{Cc}+\s*/gu, ' '), options);
    this.code = code;
  }
}
