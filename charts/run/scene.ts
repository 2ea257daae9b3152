import type { Theme } from '../drawing/theme.ts';
import type { LinkRun, Run } from './run.ts';

/** What a chart is drawn from: a run, or what a filter leaves of it; the link that is looked at; the page it is for. */
export interface Scene {
  readonly run: Run;
  readonly at: LinkRun;
  readonly theme: Theme;
}
