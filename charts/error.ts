export type ChartErrorCode = 'missing-file' | 'bad-csv' | 'no-samples' | 'usage';

/** Why nothing could be drawn: one line with the file and the remedy. */
export class ChartError extends Error {
  readonly code: ChartErrorCode;
  constructor(code: ChartErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ChartError';
    this.code = code;
  }
}
