/** How often readers' progress is looked at: 16 MiB ahead of a reader are far more than a link brings in this time. */
const tickMs = 5;
/** Without progress for this many ticks the watch ends, until the stream's next miss. */
const maxIdleTicks = 100;

/**
 * Calls `advance` periodically while it makes progress. Readers that find their content present report nothing but a
 * bit in shared memory, and a stream that waited for its reader's next miss would leave the link idle for a round trip.
 */
export function createStreamWatch(advance: () => boolean): { start(): void; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let idleTicks = 0;
  const stop = (): void => {
    clearInterval(timer);
    timer = undefined;
  };
  const tick = (): void => {
    idleTicks = advance() ? 0 : idleTicks + 1;
    if (idleTicks >= maxIdleTicks) stop();
  };
  return {
    start() {
      idleTicks = 0;
      timer ??= setInterval(tick, tickMs).unref();
    },
    stop,
  };
}
