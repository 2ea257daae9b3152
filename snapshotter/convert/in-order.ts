/** As much as is held between reading and writing, the results not counted. */
const maxInFlightBytes = 32 << 20;
const maxInFlight = 64;

/**
 * Starts work on items one after another and hands over the results in the same order, with bounded work in flight.
 * Nothing is left running when it returns or throws.
 */
export async function writeInOrder<Item, Result>(
  items: Iterable<Item>,
  start: (item: Item) => { readonly sizeBytes: number; readonly result: Promise<Result> },
  write: (result: Result, sizeBytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const queue: { readonly sizeBytes: number; readonly result: Promise<Result> }[] = [];
  let inFlightBytes = 0;
  const writeHead = async (): Promise<void> => {
    const { sizeBytes, result } = queue[0]!;
    const value = await result;
    queue.shift();
    inFlightBytes -= sizeBytes;
    write(value, sizeBytes);
  };
  try {
    for (const item of items) {
      signal?.throwIfAborted();
      const started = start(item);
      started.result.catch(() => {}); // reported where its turn comes
      queue.push(started);
      inFlightBytes += started.sizeBytes;
      while (inFlightBytes > maxInFlightBytes || queue.length > maxInFlight) await writeHead();
    }
    while (queue.length > 0) {
      signal?.throwIfAborted();
      await writeHead();
    }
  } finally {
    await Promise.allSettled(queue.map(({ result }) => result));
  }
}
