import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type LogLevel, logLevels } from '../platform/log.ts';

/** The command line of containerd-stargz-grpc. */
export interface Flags {
  readonly address: string;
  readonly config: string;
  /** It is the default path, which may be absent. */
  readonly isDefaultConfig: boolean;
  readonly root: string;
  readonly logLevel: LogLevel;
}

const defaults = {
  address: '/run/containerd-stargz-grpc/containerd-stargz-grpc.sock',
  config: '/etc/containerd-stargz-grpc/config.toml',
  root: '/var/lib/containerd-stargz-grpc',
  'log-level': 'info',
};

/** Additional names, as accepted by logrus. */
const logrusLevels: Readonly<Record<string, LogLevel>> = { panic: 'fatal', warning: 'warn' };

export const usage = `usage: containerd-stargz-grpc [options]

  --address PATH      socket to serve on (default ${defaults.address})
  --config PATH       configuration (default ${defaults.config}, if it exists)
  --root PATH         state: snapshots, layers, mounts (default ${defaults.root})
  --log-level LEVEL   ${logLevels.join(', ')} (default info)
  --version           print the version
  --help              print this
`;

/** Throws an Error with a message of one line for the user. */
export function parseFlags(args: readonly string[]): Flags | 'version' | 'help' {
  // Go's flag package accepts one dash or two, and values for boolean flags.
  const normalized = args.map((arg) =>
    arg.replace(/^-(?=[a-z][a-z-])/, '--').replace(/^(--(?:version|help))=(?:true|1)$/, '$1'),
  );
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const help = { type: 'boolean', short: 'h' } as const;
  const options = { address: text, config: text, root: text, 'log-level': text, version: flag, help } as const;
  const { values } = parseArgs({ args: normalized, options, allowPositionals: false });
  if (values.help === true) return 'help';
  if (values.version === true) return 'version';
  const read = { ...defaults, ...values };
  const wanted = read['log-level'].toLowerCase();
  const level = logrusLevels[wanted] ?? wanted;
  if (!logLevels.includes(level as LogLevel)) {
    throw new Error(`--log-level: expected one of ${logLevels.join(', ')}, found "${read['log-level']}"`);
  }
  for (const name of ['address', 'config', 'root'] as const) {
    if (read[name] === '') throw new Error(`--${name}: expected a path, found nothing`);
  }
  // containerd mounts paths below the root, and has another working directory.
  const [address, root] = [resolve(read.address), resolve(read.root)];
  if (Buffer.byteLength(address) > 107) throw new Error(`--address: a socket path has at most 107 bytes: ${address}`);
  return {
    address,
    config: read.config,
    isDefaultConfig: read.config === defaults.config,
    root,
    logLevel: level as LogLevel,
  };
}
