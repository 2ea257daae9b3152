/** Reports what happens outside the cells: packages, images, conversion. */
export interface Reporter {
  /** The current step: step('images', 'python: apt layer 3 of 5'). Cheap enough to call often. */
  step(stage: string, detail: string): void;
  /** What whoever waits should know; stays visible. */
  note(text: string): void;
  /** Printed once per text, and stays visible. */
  warn(text: string): void;
}
