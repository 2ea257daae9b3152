import pino from 'pino';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What the daemon's rooms write to: a record, then a sentence that does not vary. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** JSON lines on standard error: standard output is nobody's, the journal and containers collect both. */
export function openLog(level: LogLevel): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    // Synchronous: the last line before the end is the one that is wanted.
    pino.destination({ fd: 2, sync: true }),
  );
}

export const noLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
