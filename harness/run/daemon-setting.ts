import type { DaemonSetting } from '../../measurements/environment.ts';
import { nodeEnvironment, nodeOptions } from '../../snapshotter/process/node-options.ts';

/** How the daemon re-executes itself, for environment.json, with the config.toml of each side of a comparison. */
export function daemonSetting(configs: DaemonSetting['configs']): DaemonSetting {
  return { nodeOptions, env: nodeEnvironment, configs };
}
