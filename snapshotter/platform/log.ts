import pino from 'pino';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What the daemon's rooms write to: a record, then a constant sentence. */
export interface Log {
  /** Absent unless traces are wanted, so that `log.trace?.(...)` does not even compute its arguments. */
  readonly trace?: ((fields: object, message: string) => void) | undefined;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** JSON lines on standard error, which the journal and container runtimes collect. */
export function openLog(level: LogLevel): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    // Synchronous: the last line before a crash is the one that is needed.
    pino.destination({ fd: 2, sync: true }),
  );
  return {
    trace: logger.isLevelEnabled('trace') ? (fields, message) => logger.trace(fields, message) : undefined,
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}

export const noLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const maxDescribedChars = 1024;
const maxCauses = 8;

/**
 * An error and its causes, outermost first, on one line of at most 1 KiB. Causes that an outer message quotes are left
 * out.
 */
export function describeError(error: unknown): string {
  const messages: string[] = [];
  let at = error;
  for (let depth = 0; at !== undefined && depth <= maxCauses; depth++) {
    const message = messageOf(at);
    if (message !== '' && !messages.some((earlier) => earlier.includes(message))) messages.push(message);
    at = at instanceof Error ? at.cause : undefined;
  }
  return messages
    .join(': ')
    .replaceAll(/\s*\n\s*/g, ' ')
    .slice(0, maxDescribedChars);
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}
