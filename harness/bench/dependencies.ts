import type { DaemonSetting, LinkSetting } from '../../measurements/environment.ts';
import type { CatalogueWorkload, Workload } from '../../workloads/workload.ts';
import type { MountName } from '../cli/options.ts';
import type { ImagesSetting } from '../images/registry-options.ts';
import type { Reporter } from '../cli/reporter.ts';
import type { KnownModes } from '../run/known-modes.ts';
import type { Mode, ModeBase } from '../run/mode.ts';
import type { Cell } from '../run/plan.ts';
import type { CellExecutor } from '../run/run.ts';

export interface ExecutorRequest {
  readonly workloads: readonly Workload[];
  readonly modes: readonly Mode[];
  readonly images: ImagesSetting;
  /** Those that will be measured, as far as it is known. */
  readonly cells: readonly Cell[];
  readonly stateDir: string;
  /** Of the cells; each has one of them. One undefined: none is emulated. */
  readonly links: readonly (LinkSetting | undefined)[];
  readonly reporter: Reporter;
}

export interface PackagesRequest {
  /** What the tests need as well. */
  readonly forTests: boolean;
  readonly modes: readonly Mode[];
  /** Images of others need nothing that builds. Undefined: whatever a run may name. */
  readonly workloads?: readonly Workload[];
}

export interface OpenExecutor {
  readonly executor: CellExecutor;
  /** The images and where they came from, for environment.json: what a resumed run must find as it was. */
  readonly record: Readonly<Record<string, unknown>>;
  /** Of each imported image, by the workload's name: what a run of it read (snapshotter/convert/accesses.ts), by the layers of its source. */
  readonly accessRecords?: ReadonlyMap<string, string>;
  /** What was found out besides, which may differ each time. */
  readonly conditions?: Readonly<Record<string, unknown>>;
  /** The same after the last cell; called before the executor is closed. */
  conditionsAtEnd?(signal: AbortSignal): Promise<Readonly<Record<string, unknown>>>;
}

export interface PreflightRequest {
  readonly stateDir: string;
  readonly workloads: readonly Workload[];
  readonly modes: readonly Mode[];
  readonly images: ImagesSetting;
}

/** What the commands need from the rest of the harness. Implemented in assembly/dependencies.ts; tests bring their own. */
export interface Dependencies {
  readonly workloads: readonly CatalogueWorkload[];
  /** Run unless --workloads names others. */
  readonly defaultWorkloads: readonly CatalogueWorkload[];
  /** With those of a peers file; undefined: the file that comes with the project. Throws UsageError. */
  readModes(peersPath: string | undefined): Promise<KnownModes>;
  /** The same mode with its layers mounted this way, under `name`. Undefined where its mount is not ours to choose. */
  mountedBy(mode: Mode, mount: MountName, name: string): Mode | undefined;
  /** Another commit of this project; nothing is checked out before the executor is opened. Throws UsageError. */
  resolveBase(ref: string, stateDir: string): Promise<ModeBase>;
  readonly isRoot: boolean;
  /** Rejects if a run cannot work on this machine. Creates the state directory. */
  preflight(request: PreflightRequest): Promise<void>;
  /** Packages that an installation would add. */
  missingPackages(request: PackagesRequest): Promise<readonly string[]>;
  ensurePackages(request: PackagesRequest, reporter: Reporter, signal: AbortSignal): Promise<void>;
  /** The machine, for environment.json, and warnings of what may disturb a measurement. */
  describeMachine(stateDir: string): Promise<{ readonly machine: object; readonly warnings: readonly string[] }>;
  /** The daemon's options in these modes; undefined if none of them has a daemon. */
  daemonSetting(modes: readonly Mode[]): DaemonSetting | undefined;
  /** Starts registry, images, link and cells. Undoes what it started if it rejects. */
  openExecutor(request: ExecutorRequest, signal: AbortSignal): Promise<OpenExecutor>;
  /** Draws from the tables alone. Returns the paths. */
  drawCharts(resultDir: string): Promise<readonly string[]>;
}
