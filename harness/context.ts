/** Tells the person at the terminal (or the log) what happens outside the cells: packages, images, conversion. */
export interface Reporter {
  /** What is being done now, e.g. step('images', 'python: apt layer 3 of 5'). Cheap: call it as often as you like. */
  step(stage: string, detail: string): void;
  /** A warning that stays visible, printed once. */
  warn(text: string): void;
}

/** What every room of the harness is handed. */
export interface BenchContext {
  /** Everything the run keeps between runs or needs while it works; the registry's data, image cache, cell roots. */
  readonly stateDir: string;
  readonly reporter: Reporter;
}
