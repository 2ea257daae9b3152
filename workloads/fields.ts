import { WorkloadError } from './error.ts';

/** The fields of one table of a workload.toml, each checked when it is taken. */
export class Fields {
  readonly #file: string;
  readonly #prefix: string;
  readonly #left: Map<string, unknown>;

  /** `prefix` precedes the names in messages: `ready.`. */
  constructor(file: string, prefix: string, table: Readonly<Record<string, unknown>>) {
    this.#file = file;
    this.#prefix = prefix;
    this.#left = new Map(Object.entries(table));
  }

  text(name: string): string {
    return this.#required(name, this.optionalText(name), 'a text');
  }

  optionalText(name: string): string | undefined {
    const value = this.#take(name);
    if (value === undefined || (typeof value === 'string' && value !== '')) return value;
    throw this.invalid(name, 'is not a text', 'write it in quotes');
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.text(name);
    const found = allowed.find((one) => one === value);
    if (found !== undefined) return found;
    throw this.invalid(name, `is '${value}'`, `use one of ${allowed.join(', ')}`);
  }

  integer(name: string, min: number, max: number): number {
    return this.#required(name, this.optionalInteger(name, min, max), `a whole number from ${min} to ${max}`);
  }

  optionalInteger(name: string, min: number, max: number): number | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
    throw this.invalid(name, `is ${JSON.stringify(value)}`, `use a whole number from ${min} to ${max}`);
  }

  optionalTexts(name: string): readonly string[] | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string')) return value;
    throw this.invalid(name, 'is not a list of texts', 'write ["one", "two"]');
  }

  /** Undefined if absent. */
  optionalTable(name: string): Readonly<Record<string, unknown>> | undefined {
    const value = this.#take(name);
    if (value === undefined || isTable(value)) return value;
    throw this.invalid(name, 'is not a table', `write it as [${name}]`);
  }

  table(name: string): Readonly<Record<string, unknown>> {
    return this.#required(name, this.optionalTable(name), `a table [${this.#prefix}${name}]`);
  }

  tables(name: string): readonly Readonly<Record<string, unknown>>[] {
    const value = this.#take(name);
    if (value === undefined) return [];
    if (Array.isArray(value) && value.every(isTable)) return value;
    throw this.invalid(name, 'is not a list of tables', `write each as [[${name}]]`);
  }

  /** To be called last: a field that nothing took is a mistake in its name. */
  finish(): void {
    const [unknown] = this.#left.keys();
    if (unknown !== undefined) throw this.invalid(unknown, 'is not known here', 'remove it, or correct its name');
  }

  invalid(name: string, problem: string, remedy: string): WorkloadError {
    return new WorkloadError(this.#file, `${this.#prefix}${name} ${problem}`, remedy);
  }

  #take(name: string): unknown {
    const value = this.#left.get(name);
    this.#left.delete(name);
    return value;
  }

  #required<T>(name: string, value: T | undefined, what: string): T {
    if (value !== undefined) return value;
    throw this.invalid(name, 'is missing', `add ${what}`);
  }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
