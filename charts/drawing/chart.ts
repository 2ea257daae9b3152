import type { TopLevelSpec } from 'vega-lite';

/** A picture and the words around it. */
export interface Chart {
  /** File name without extension; of a run's charts each has its own. */
  readonly name: string;
  readonly title: string;
  readonly subtitle: string;
  /** Date and commit. */
  readonly origin: string;
  readonly caption: string;
  /** The content in words, for screen readers. */
  readonly description: string;
  readonly spec: TopLevelSpec;
}
