/** Tells the person at the terminal (or the log) what happens outside the cells: packages, images, conversion. */
export interface Reporter {
  /** What is being done now, e.g. step('images', 'python: apt layer 3 of 5'). Cheap: call it as often as you like. */
  step(stage: string, detail: string): void;
  /** A warning that stays visible, printed once. */
  warn(text: string): void;
}
