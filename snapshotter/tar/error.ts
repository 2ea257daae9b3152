export type TarErrorCode = 'malformed' | 'unsupported';

/** Why a tar cannot be read. Whoever knows which file it is says so around `detail`. */
export class TarError extends Error {
  override readonly name = 'TarError';
  readonly code: TarErrorCode;
  readonly detail: string;

  constructor(code: TarErrorCode, detail: string, message: string) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
}
