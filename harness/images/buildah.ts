import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HarnessError, lastLines } from '../cli/error.ts';
import { unmountUnder } from '../host/mounts.ts';
import { sendSignal } from '../host/processes.ts';

const buildLimitMs = 1_800_000;
const pushLimitMs = 900_000;

export interface BuildRequest {
  readonly tag: string;
  /** The directory with the Dockerfile. */
  readonly context: string;
  readonly base: string | undefined;
  /** Further build arguments. */
  readonly buildArguments?: Readonly<Record<string, string>> | undefined;
}

/** buildah with its own store: images and settings of the machine are neither used nor changed. */
export interface Buildah {
  has(tag: string): Promise<boolean>;
  build(request: BuildRequest, onStep: (detail: string) => void, signal: AbortSignal): Promise<void>;
  /** Removes all images but these and what they are built on; returns how many it removed. */
  removeOthers(tags: readonly string[], signal: AbortSignal): Promise<number>;
  /** Pushes to a registry that speaks plain HTTP. */
  push(tag: string, reference: string, signal: AbortSignal): Promise<void>;
}

export async function openBuildah(directory: string): Promise<Buildah> {
  await mkdir(directory, { recursive: true });
  const policy = join(directory, 'policy.json');
  const registries = join(directory, 'registries.conf');
  await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}\n');
  await writeFile(registries, 'unqualified-search-registries = []\n');
  const store = [
    ...['--root', join(directory, 'root')],
    ...['--runroot', join(directory, 'run')],
    ...['--storage-driver', 'overlay'],
    ...['--registries-conf', registries],
  ];
  const options = {
    all: true,
    // The content of an image must not depend on the environment of whoever runs the benchmark.
    env: { BUILDAH_ISOLATION: 'chroot', TMPDIR: directory, CONTAINERS_STORAGE_CONF: '/dev/null' },
    forceKillAfterDelay: 10_000,
    stdin: 'ignore',
    reject: false,
  } as const;

  // An interrupted build leaves working containers, which would take up disk space for good.
  await execa('buildah', [...store, 'rm', '--all'], { ...options, timeout: 60_000 });
  return {
    has: async (tag) => {
      const result = await execa('buildah', [...store, 'inspect', '--type', 'image', tag], {
        ...options,
        timeout: 60_000,
      });
      return !result.failed;
    },

    build: async ({ tag, context, base, buildArguments = {} }, onStep, signal) => {
      const args = [
        ...[...store, 'build', '--signature-policy', policy, '--isolation', 'chroot', '--layers', '--pull-never'],
        ...['--format', 'oci', '--tag', tag],
        ...(base === undefined ? [] : ['--build-arg', `BASE=${base}`]),
        ...Object.entries(buildArguments).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
        context,
      ];
      // A process group of its own, so that all processes of a step can be killed.
      const building = execa('buildah', args, {
        ...options,
        cancelSignal: signal,
        detached: true,
        timeout: buildLimitMs,
      });
      building.all.setEncoding('utf8');
      building.all.on('data', (text: string) => {
        for (const match of text.matchAll(/^STEP (\d+)\/(\d+):\s*(\S+)/gm)) {
          onStep(`step ${match[1]} of ${match[2]} (${match[3]})`);
        }
      });
      const result = await building;
      if (result.failed && building.pid !== undefined) {
        sendSignal(-building.pid, 'SIGKILL');
        // When killed during a step, buildah leaves the mounts of that step.
        await unmountUnder(directory);
      }
      signal.throwIfAborted();
      if (!result.failed) return;
      throw new HarnessError(
        'image-build',
        `building ${tag} from ${context} failed: ${lastLines(result.all || (result.message ?? ''))}`,
        {
          remedy: 'check that the Debian mirror is reachable, then run again: finished steps are kept',
          cause: result,
        },
      );
    },

    removeOthers: async (tags, signal) => {
      const limited = { ...options, cancelSignal: signal, timeout: pushLimitMs };
      const listed = await execa('buildah', [...store, 'images', '--format', '{{.Name}}:{{.Tag}}'], limited);
      const all = listed.all.split('\n').filter((name) => name.startsWith('localhost/'));
      const others = all.filter((name) => !tags.includes(name));
      for (const name of others) await execa('buildah', [...store, 'rmi', '--force', name], limited);
      await execa('buildah', [...store, 'rmi', '--prune'], limited);
      signal.throwIfAborted();
      return others.length;
    },

    push: async (tag, reference, signal) => {
      const args = [
        ...store,
        'push',
        '--signature-policy',
        policy,
        '--tls-verify=false',
        '--quiet',
        tag,
        `docker://${reference}`,
      ];
      const result = await execa('buildah', args, { ...options, cancelSignal: signal, timeout: pushLimitMs });
      signal.throwIfAborted();
      if (!result.failed) return;
      throw new HarnessError(
        'image-build',
        `pushing ${tag} to ${reference} failed: ${lastLines(result.all || (result.message ?? ''))}`,
        {
          remedy: 'check the free space of the state directory, then run again',
          cause: result,
        },
      );
    },
  };
}
