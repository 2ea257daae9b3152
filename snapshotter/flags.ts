import { parseArgs } from 'node:util';
import { type LogLevel, logLevels } from './log.ts';

/** The command line, as containerd-stargz-grpc takes it. */
export interface Flags {
  readonly address: string;
  readonly config: string;
  /** The user named no configuration: the default one may be absent. */
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

export const usage = `usage: containerd-stargz-grpc [options]

  --address PATH      socket to serve on (default ${defaults.address})
  --config PATH       configuration (default ${defaults.config}, if it exists)
  --root PATH         state: snapshots, layers, mounts (default ${defaults.root})
  --log-level LEVEL   ${logLevels.join(', ')} (default info)
  --version           print the version
  --help              print this
`;

/** Throws Error with one line for the user. */
export function parseFlags(args: readonly string[]): Flags | 'version' | 'help' {
  // Go's flag package takes one dash or two.
  const normalized = args.map((arg) => (/^-[a-z][a-z-]+/.test(arg) ? `-${arg}` : arg));
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = { address: text, config: text, root: text, 'log-level': text, version: flag, help: flag } as const;
  const { values } = parseArgs({ args: normalized, options, allowPositionals: false });
  if (values.help === true) return 'help';
  if (values.version === true) return 'version';
  const read = { ...defaults, ...values };
  const level = read['log-level'] === 'panic' ? 'fatal' : read['log-level'];
  if (!logLevels.includes(level as LogLevel)) {
    throw new Error(`--log-level: expected one of ${logLevels.join(', ')}, found "${level}"`);
  }
  for (const name of ['address', 'root'] as const) {
    if (!read[name].startsWith('/')) throw new Error(`--${name}: expected an absolute path, found "${read[name]}"`);
  }
  if (Buffer.byteLength(read.address) > 107)
    throw new Error(`--address: a socket path has at most 107 bytes: ${read.address}`);
  return {
    address: read.address,
    config: read.config,
    isDefaultConfig: values.config === undefined,
    root: read.root,
    logLevel: level as LogLevel,
  };
}
