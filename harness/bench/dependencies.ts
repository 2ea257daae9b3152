import type { Reporter } from '../cli/reporter.ts';
import type { MountName } from './options.ts';
import type { Named } from '../run/plan.ts';
import type { CellExecutor } from '../run/run.ts';

export interface Titled extends Named {
  readonly title: string;
}

export interface ExecutorRequest<W extends Named, M extends Named> {
  readonly workloads: readonly W[];
  readonly modes: readonly M[];
  readonly stateDir: string;
  readonly link: { readonly rttMs: number; readonly bandwidthMbps: number | undefined };
  readonly reporter: Reporter;
}

export interface OpenExecutor<W extends Named, M extends Named> {
  readonly executor: CellExecutor<W, M>;
  /** What was built and what it was built with, for environment.json. */
  readonly record: Readonly<Record<string, unknown>>;
}

/** All that the commands need from the rest of the harness. assembly/dependencies.ts is the one in use; tests bring their own. */
export interface Dependencies<W extends Titled = Titled, M extends Titled = Titled> {
  readonly workloads: readonly W[];
  /** What runs unless workloads are named. */
  readonly defaultWorkloads: readonly W[];
  readonly modes: readonly M[];
  /** The mode with its layers mounted this way, under this name; undefined for a mode without lazy layers. */
  mountedBy(mode: M, mount: MountName, name: string): M | undefined;
  readonly isRoot: boolean;
  /** Rejects with one clear line where a run cannot work here. */
  preflight(request: { readonly stateDir: string }): Promise<void>;
  /** Names of the packages that an installation would bring. */
  missingPackages(forTests: boolean): Promise<readonly string[]>;
  ensurePackages(forTests: boolean, reporter: Reporter, signal: AbortSignal): Promise<void>;
  /** The machine, for environment.json, and what on it may disturb a measurement. */
  describeMachine(stateDir: string): Promise<{ readonly machine: object; readonly warnings: readonly string[] }>;
  /** Registry, images, link, cells. Undoes what it began if it rejects. */
  openExecutor(request: ExecutorRequest<W, M>, signal: AbortSignal): Promise<OpenExecutor<W, M>>;
  /** Draws from the CSV alone; returns the files. */
  drawCharts(resultDir: string): Promise<readonly string[]>;
}
