import type { DaemonSetting, LinkSetting } from '../../measurements/environment.ts';
import type { Workload } from '../../workloads/workload.ts';
import type { MountName } from '../cli/options.ts';
import type { Reporter } from '../cli/reporter.ts';
import type { Mode } from '../run/mode.ts';
import type { CellExecutor } from '../run/run.ts';

export interface ExecutorRequest {
  readonly workloads: readonly Workload[];
  readonly modes: readonly Mode[];
  readonly stateDir: string;
  readonly link: LinkSetting;
  readonly reporter: Reporter;
}

export interface OpenExecutor {
  readonly executor: CellExecutor;
  /** What was built and what it was built with, for environment.json. */
  readonly record: Readonly<Record<string, unknown>>;
}

/** All that the commands need from the rest of the harness. assembly/dependencies.ts is the one in use; tests bring their own. */
export interface Dependencies {
  readonly workloads: readonly Workload[];
  /** What runs unless workloads are named. */
  readonly defaultWorkloads: readonly Workload[];
  readonly modes: readonly Mode[];
  /** The mode with its layers mounted this way, under this name; undefined for a mode without lazy layers. */
  mountedBy(mode: Mode, mount: MountName, name: string): Mode | undefined;
  readonly isRoot: boolean;
  /** Rejects with one clear line where a run cannot work here. Creates the state directory. */
  preflight(request: { readonly stateDir: string }): Promise<void>;
  /** Names of the packages that an installation would bring. */
  missingPackages(forTests: boolean): Promise<readonly string[]>;
  ensurePackages(forTests: boolean, reporter: Reporter, signal: AbortSignal): Promise<void>;
  /** The machine, for environment.json, and what on it may disturb a measurement. */
  describeMachine(stateDir: string): Promise<{ readonly machine: object; readonly warnings: readonly string[] }>;
  /** How the daemon is started in each of these modes; undefined if it is in none. */
  daemonSetting(modes: readonly Mode[]): DaemonSetting | undefined;
  /** Registry, images, link, cells. Undoes what it began if it rejects. */
  openExecutor(request: ExecutorRequest, signal: AbortSignal): Promise<OpenExecutor>;
  /** Draws from the CSV alone; returns the files. */
  drawCharts(resultDir: string): Promise<readonly string[]>;
}
