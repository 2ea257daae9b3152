/** Random faults, as shares of all reads in [0, 1] with a sum of at most 1. */
export interface Weather {
  readonly tooManyRequests?: number;
  /** Sent with 429; default 0. */
  readonly retryAfterSec?: number;
  readonly serverError?: number;
  readonly reset?: number;
  /** The connection ends within the body. */
  readonly cut?: number;
  /** A request is served after this many faults in a row; default 2. */
  readonly maxInARow?: number;
}

export type Gust = 'tooManyRequests' | 'serverError' | 'reset' | 'cut';

const kinds: readonly Gust[] = ['tooManyRequests', 'serverError', 'reset', 'cut'];
const defaultMaxInARow = 2;

/** Draws faults from a seed. The bound in a row keeps a correct client from failing by chance. */
export class Forecast {
  readonly #inARow = new Map<string, number>();
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** The fault for the next request with this key, if any. */
  next(key: string, weather: Weather): Gust | undefined {
    const inARow = this.#inARow.get(key) ?? 0;
    let draw = this.share();
    const gust = kinds.find((kind) => {
      draw -= weather[kind] ?? 0;
      return draw < 0;
    });
    const isServed = gust === undefined || inARow >= (weather.maxInARow ?? defaultMaxInARow);
    this.#inARow.set(key, isServed ? 0 : inARow + 1);
    return isServed ? undefined : gust;
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
