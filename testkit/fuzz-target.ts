/**
 * A parser of untrusted bytes, to be fuzzed. A `*.fuzz.ts` file beside the code exports `targets`; `npm run fuzz` finds
 * them.
 */
export interface FuzzTarget {
  readonly name: string;
  /** Valid inputs, to be mutated. */
  readonly seeds: readonly Uint8Array[];
  /** Tokens of the format that mutation is unlikely to produce by itself. */
  readonly dictionary?: readonly string[];
  /** Corrects checksums, so that the code behind them is reached. Applied to most inputs. */
  repair?(input: Buffer): Buffer;
  /**
   * One synchronous execution. Throws on a defect: an error other than the parser's own refusal, or an inconsistent
   * result. It may modify the input.
   */
  run(input: Buffer): void;
}

/** Ignores errors with one of these names: they are how the parser refuses malformed input. */
export function refusing(names: readonly string[], run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof Error) || !names.includes(error.name)) throw error;
  }
}
