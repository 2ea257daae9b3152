/** Shares in [0, 1]; together at most 1. */
export interface Faults {
  readonly tooManyRequests?: number;
  /** Sent with 429; default 0. */
  readonly retryAfterSec?: number;
  readonly serverError?: number;
  readonly reset?: number;
  /** The body stops somewhere, and the connection with it. */
  readonly cut?: number;
  /** After so many faults in a row the same request is served; default 2. */
  readonly mostInARow?: number;
}

export type Fault = 'tooManyRequests' | 'serverError' | 'reset' | 'cut';

const kinds: readonly Fault[] = ['tooManyRequests', 'serverError', 'reset', 'cut'];
const defaultMostInARow = 2;

/** Which requests go wrong, drawn from a seed; the bound in a row keeps a fair client from ever failing by bad luck. */
export class FaultPlan {
  readonly #inARow = new Map<string, number>();
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(key: string, faults: Faults): Fault | undefined {
    const inARow = this.#inARow.get(key) ?? 0;
    let draw = this.share();
    const fault = kinds.find((kind) => {
      draw -= faults[kind] ?? 0;
      return draw < 0;
    });
    const isServed = fault === undefined || inARow >= (faults.mostInARow ?? defaultMostInARow);
    this.#inARow.set(key, isServed ? 0 : inARow + 1);
    return isServed ? undefined : fault;
  }

  /** Uniform in [0, 1): a Weyl sequence through a 32-bit finaliser (splitmix32). */
  share(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  }
}
