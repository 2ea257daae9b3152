import type { DaemonSetting } from '../../measurements/environment.ts';
import { nodeEnvironment, nodeOptions } from '../../snapshotter/process/node-options.ts';
import type { Mode } from './mode.ts';

/** The daemon's options in each mode that has one; undefined if none has. */
export function daemonSettingOf(modes: readonly Mode[]): DaemonSetting | undefined {
  const lazy = modes.filter((mode) => mode.daemonConfig !== undefined);
  if (lazy.length === 0) return undefined;
  return daemonSetting(Object.fromEntries(lazy.map((mode) => [mode.name, mode.daemonConfig])));
}

/** How the daemon re-executes itself, for environment.json, with the config.toml of each side of a comparison. */
export function daemonSetting(configs: DaemonSetting['configs']): DaemonSetting {
  return { nodeOptions, env: nodeEnvironment, configs };
}
