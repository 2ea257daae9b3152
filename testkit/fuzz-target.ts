/**
 * Something that reads bytes written by others. A `*.fuzz.ts` file beside the code exports `targets`; `npm run fuzz` finds
 * them.
 */
export interface FuzzTarget {
  readonly name: string;
  /** Valid inputs, to be mutated. */
  readonly seeds: readonly Uint8Array[];
  /** Words of the format that mutation is unlikely to find by itself. */
  readonly dictionary?: readonly string[];
  /** Makes checksums right again, so that what lies behind them is reached. Applied to most inputs. */
  repair?(input: Buffer): Buffer;
  /**
   * One execution, synchronous. Throws for whatever must not happen: an error that is no refusal of the format's own, or a
   * result that does not hold together. The input is the target's to change.
   */
  run(input: Buffer): void;
}

/** Errors with one of these names are how the format is refused: they are no finds. */
export function refusing(names: readonly string[], run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof Error) || !names.includes(error.name)) throw error;
  }
}
