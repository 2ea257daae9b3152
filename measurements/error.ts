export type MeasurementErrorCode =
  | 'missing-file'
  | 'bad-csv'
  | 'bad-environment'
  | 'unknown-schema'
  | 'no-samples'
  | 'not-one-plan'
  | 'disk-full'
  | 'write';

/** Why results could not be read or written: one line that names the file, and the remedy where there is one. */
export class MeasurementError extends Error {
  readonly code: MeasurementErrorCode;
  readonly remedy: string | undefined;

  constructor(code: MeasurementErrorCode, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MeasurementError';
    this.code = code;
    this.remedy = options.remedy;
  }
}
