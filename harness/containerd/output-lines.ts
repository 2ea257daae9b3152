export type StreamName = 'stdout' | 'stderr';

/** More than any workload prints; the rest is read and discarded. */
const keptBytes = 1 << 20;

/** What a container has printed so far, and who waits for a line of it. */
export class OutputLines {
  readonly #text = { stdout: '', stderr: '' };
  readonly #partial = { stdout: '', stderr: '' };
  readonly #listeners = new Set<(line: string) => void>();

  append(stream: StreamName, text: string): void {
    if (this.#text[stream].length < keptBytes) this.#text[stream] += text;
    const lines = (this.#partial[stream] + text).split('\n');
    this.#partial[stream] = lines.pop()!;
    for (const line of lines) for (const listener of this.#listeners) listener(line);
  }

  text(stream: StreamName): string {
    return this.#text[stream];
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
