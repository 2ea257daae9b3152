export type StreamName = 'stdout' | 'stderr';

/** More than any workload prints that is compared; the rest is read and discarded. */
const keptChars = 1 << 20;
/** Of the end, for error messages. */
const tailChars = 8 << 10;
/** A line is matched in pieces of this length: one without an end must not be kept whole. */
const lineChars = 64 << 10;

/** What a container has printed so far, within limits, and who waits for a line of it. */
export class OutputLines {
  readonly #text = { stdout: '', stderr: '' };
  readonly #tail = { stdout: '', stderr: '' };
  readonly #partial = { stdout: '', stderr: '' };
  readonly #listeners = new Set<(line: string) => void>();

  append(stream: StreamName, text: string): void {
    const room = keptChars - this.#text[stream].length;
    if (room > 0) this.#text[stream] += text.slice(0, room);
    this.#tail[stream] = (this.#tail[stream] + text).slice(-tailChars);
    const lines = (this.#partial[stream] + text).split('\n');
    const last = lines.pop()!;
    this.#partial[stream] = last.length < lineChars ? last : '';
    if (last.length >= lineChars) lines.push(last);
    for (const line of lines) for (const listener of this.#listeners) listener(line);
  }

  /** Its beginning: all of it, unless the container printed more than a MiB. */
  text(stream: StreamName): string {
    return this.#text[stream];
  }

  /** Its end. */
  tail(stream: StreamName): string {
    return this.#tail[stream];
  }

  /** Calls `listener` with each line of both streams, including those already read. Returns a function that stops it. */
  onLine(listener: (line: string) => void): () => void {
    for (const text of [this.#text.stdout, this.#text.stderr]) {
      for (const line of text.split('\n').slice(0, -1)) listener(line);
    }
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
