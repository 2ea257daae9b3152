import { parseFlags, usage } from './config/flags.ts';
import { readBuild } from './process/build.ts';
import { relaunchSmall } from './process/relaunch.ts';

const flags = readFlags();
if (process.getuid?.() !== 0) fail('it mounts file systems, so it must run as root; use sudo');
try {
  await relaunchSmall(flags.root);
} catch (error) {
  fail(`--root: ${(error as Error).message}; choose another`);
}

// After the relaunch: the first process needs none of these.
const [{ loadConfig }, { openLog }, { startDaemon }, { notifySystemd }] = await Promise.all([
  import('./config/config.ts'),
  import('./platform/log.ts'),
  import('./daemon.ts'),
  import('./process/systemd.ts'),
]);

try {
  const { config, warnings } = loadConfig(flags.config, flags.isDefaultConfig);
  const log = openLog(config.debug && flags.logLevel !== 'trace' ? 'debug' : flags.logLevel);
  for (const warning of warnings) log.warn({}, warning);

  const starting = new AbortController();
  const signalled = new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => {
        starting.abort(new Error(`stopped by ${name} while starting`));
        resolve(name);
      });
    }
  });
  const { version, commit = null } = readBuild();
  const { address, root, config: path, logLevel } = flags;
  const identity = { version, commit, logLevel, config: { path, warnings } };
  const daemon = await startDaemon({ address, root, config, identity, log }, starting.signal);

  notifySystemd('READY=1');
  const name = await signalled;
  notifySystemd('STOPPING=1');
  log.info({ signal: name }, 'stopping');
  // Whatever does not end must not keep the service manager waiting.
  setTimeout(() => fail('it did not stop within 30 s'), 30_000).unref();
  await daemon.stop(name === 'SIGINT' ? 'take-down' : 'keep');
  log.info({}, 'stopped');
  process.exit(0);
} catch (error) {
  fail((error as Error).message);
}

function readFlags() {
  try {
    const parsed = parseFlags(process.argv.slice(2));
    if (typeof parsed === 'object') return parsed;
    const { name, version } = readBuild();
    process.stdout.write(parsed === 'help' ? usage : `containerd-stargz-grpc ${version} (${name})\n`);
  } catch (error) {
    fail(`${(error as Error).message.split('\n')[0]}; --help lists the options`);
  }
  process.exit(0);
}

function fail(message: string): never {
  process.stderr.write(`containerd-stargz-grpc: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  process.exit(1);
}
