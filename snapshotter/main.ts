import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseFlags, usage } from './config/flags.ts';
import { relaunchSmall } from './process/relaunch.ts';

const flags = readFlags();
if (process.getuid?.() !== 0) fail('it mounts file systems, so it must run as root; use sudo');
try {
  await relaunchSmall(flags.root);
} catch (error) {
  fail(`--root: ${(error as Error).message}; choose another`);
}

// Behind the relaunch: the first process needs none of it.
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
  const daemon = await startDaemon({ address: flags.address, root: flags.root, config, log }, starting.signal);

  notifySystemd('READY=1');
  const name = await signalled;
  notifySystemd('STOPPING=1');
  log.info({ signal: name }, 'stopping');
  // Something that will not end must not keep the service manager waiting.
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
    process.stdout.write(parsed === 'help' ? usage : `containerd-stargz-grpc ${readVersion()}\n`);
  } catch (error) {
    fail(`${(error as Error).message.split('\n')[0]}; --help lists the options`);
  }
  process.exit(0);
}

function readVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '../package.json'), 'utf8');
  const { name, version } = JSON.parse(text) as { name: string; version: string };
  return `${version} (${name})`;
}

function fail(message: string): never {
  process.stderr.write(`containerd-stargz-grpc: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  process.exit(1);
}
